"""Weight files: read without running any code of theirs, and fitted to a module's parameters."""

import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from vmr_jax.input_files import check_archive, require_file
from vmr_jax.pickle_data import Global, Stub, read_pickle
from vmr_jax.types import Params

_STORAGES = {
    "FloatStorage": np.float32,
    "DoubleStorage": np.float64,
    "HalfStorage": np.float16,
    "BFloat16Storage": jnp.bfloat16,
    "LongStorage": np.int64,
    "IntStorage": np.int32,
    "ShortStorage": np.int16,
    "CharStorage": np.int8,
    "ByteStorage": np.uint8,
    "BoolStorage": np.bool_,
}


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Read the named tensors of a weight file.

    The file is a safetensors file, a PyTorch state dict (pytorch_model.bin, PyTorch 1.6 or
    later), or a TorchScript archive (OpenAI's ViT-B-32.pt), whatever its name. The pickles inside
    the last two may rebuild tensors and do nothing else.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, empty, in another format, or its pickle asks for anything
            but tensors (named in the message).
    """
    path = require_file(path, "weights")
    with path.open("rb") as file:
        head = file.read(9)
    archive = head.startswith(b"PK\x03\x04")
    if head.startswith(b"\x80") and not head.endswith(b"{"):  # safetensors: length, then "{"
        raise ValueError(
            f"{path} is a bare pickle, as PyTorch wrote before version 1.6, which is not read: "
            "use the same model's model.safetensors."
        )
    try:
        tensors = _read_archive(path) if archive else safetensors.numpy.load_file(path)
    except Exception as error:  # a damaged file raises many kinds
        raise ValueError(f"{path}: refused to read it: {error}") from error
    if not tensors:
        raise ValueError(f"{path} holds no tensors")
    return tensors


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    """Read a zip archive that torch.save or torch.jit.save wrote."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        check_archive(archive, path)
        roots = [name[: -len("data.pkl")] for name in names if re.fullmatch("[^/]+/data.pkl", name)]
        if len(roots) != 1:
            raise ValueError("expected one <folder>/data.pkl in the archive")
        byteorder = f"{roots[0]}byteorder"
        if byteorder in names and archive.read(byteorder) != b"little":
            raise ValueError("its numbers are not little-endian")
        content = read_pickle(
            archive.read(f"{roots[0]}data.pkl"),
            _BUILDERS,
            objects=_is_class,
            persistent=_Storages(archive, roots[0]).read,
        )
        return dict(_named(content))


def _named(node: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors below a state dict or a module, under their dotted names."""
    left = [("", node)]
    while left:
        prefix, node = left.pop()
        inner = []
        for name, value in _parts(node).items():
            if isinstance(value, np.ndarray):
                yield f"{prefix}{name}", value
            elif isinstance(value, dict | Stub):
                inner.append((f"{prefix}{name}.", value))
        left += reversed(inner)


def _parts(node: Any) -> dict:
    """What a state dict, or a module of a TorchScript archive, holds."""
    parts = node.state if isinstance(node, Stub) else node
    if not isinstance(parts, dict):
        raise ValueError(f"expected a dict of tensors, found a {type(parts).__name__}")
    return parts


def _is_class(module: str, name: str) -> bool:
    """Tell the classes of TorchScript's modules and of PyTorch's storages."""
    return module.split(".")[0] == "__torch__" or (module == "torch" and name in _STORAGES)


class _Storages:
    """The storages of an archive, each read once, all elements of it."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        self._archive, self._root = archive, root
        self._found: dict[str, np.ndarray] = {}

    def read(self, pid: Any) -> np.ndarray:
        """The storage of a persistent id ("storage", its class, key, device, elements)."""
        _, kind, key, _, size = pid
        if not isinstance(kind, Global) or kind.name not in _STORAGES:
            raise ValueError(f"it has a storage of {kind!r}")
        if key not in self._found:
            data = self._archive.read(f"{self._root}data/{key}")
            self._found[key] = np.frombuffer(data, np.dtype(_STORAGES[kind.name]), count=size)
        return self._found[key]


def _rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> np.ndarray:
    """A view of a storage (torch._utils._rebuild_tensor_v2), checked to stay inside it."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (all(size) and last >= len(storage)):
        raise ValueError("a tensor reaches beyond its storage")
    if math.prod(size) > len(storage):
        raise ValueError("a tensor has more elements than its storage")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _first(value: Any, *_: Any) -> Any:
    """The plain value inside a parameter, a typed list or a device."""
    return value


_BUILDERS = {
    ("collections", "OrderedDict"): lambda *items: dict(*items),
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _first,
    ("torch", "device"): _first,
    **{
        ("torch.jit._pickle", f"build_{x}list"): _first for x in ("int", "double", "bool", "tensor")
    },
}


class Source:
    """Where one parameter comes from: the tensors of `names`, joined on their first axis.

    Then the axes are permuted. A "{}" in the names is the number of the layer: the parameter has
    a leading axis of layers.
    """

    def __init__(self, *names: str, axes: tuple[int, ...] | None = None):
        self.names, self.axes = names, axes

    def per_layer(self, shape: tuple[int, ...]) -> tuple[list[list[str]], tuple[int, ...]]:
        """The names of each layer, or of the only one, and the shape of one in the file."""
        stacked = "{}" in self.names[0]
        layers = range(shape[0] if stacked else 1)
        shape = shape[stacked:]
        if self.axes is not None:
            shape = tuple(shape[self.axes.index(axis)] for axis in range(len(shape)))
        shape = (shape[0] // len(self.names), *shape[1:])
        return [[name.format(i) for name in self.names] for i in layers], shape

    def read(self, tensors: Mapping[str, np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
        """The parameter of `shape`, float32."""
        rows = []
        for names in self.per_layer(shape)[0]:
            joined = np.concatenate([tensors[name] for name in names]).astype(np.float32)
            rows.append(joined if self.axes is None else joined.transpose(self.axes))
        return np.stack(rows).reshape(shape)


def linear(*names: str) -> dict[str, Source]:
    """A Dense layer from PyTorch's linear layers `names`, their outputs side by side."""
    return {
        "kernel": Source(*(f"{name}.weight" for name in names), axes=(1, 0)),
        "bias": Source(*(f"{name}.bias" for name in names)),
    }


def norm(name: str) -> dict[str, Source]:
    """A LayerNorm from PyTorch's layer `name`."""
    return {"scale": Source(f"{name}.weight"), "bias": Source(f"{name}.bias")}


def fit_tensors(
    tensors: Mapping[str, np.ndarray],
    sources: Mapping[str, Any],
    shapes: Mapping[str, Any],
    skipped: str,
    path: str | Path,
) -> Params:
    """Make the parameter tree `shapes` from the tensors that the tree `sources` names.

    Tensors whose whole name matches the pattern `skipped` are known and not needed. Raises
    ValueError with the name of every tensor that is missing, of another shape or kind, or unknown.
    """
    expected: dict[str, tuple[int, ...]] = {}

    def expect(source: Source, leaf: Any) -> None:
        layers, shape = source.per_layer(leaf.shape)
        expected.update((name, shape) for names in layers for name in names)

    jax.tree.map(expect, sources, shapes)
    problems = [f"missing: {name}" for name in expected if name not in tensors]
    for name, shape in expected.items():
        tensor = tensors.get(name)
        if tensor is not None and tensor.shape != shape:
            problems.append(f"misshapen: {name} is {tensor.shape}, expected {shape}")
        elif tensor is not None and not jnp.issubdtype(tensor.dtype, jnp.floating):
            problems.append(f"misshapen: {name} holds {tensor.dtype}, expected floats")
    unknown = (name for name in tensors if name not in expected)
    problems += [f"extra: {name}" for name in unknown if not re.fullmatch(skipped, name)]
    if problems:
        lines = "\n  ".join(problems)
        raise ValueError(f"{path} does not fit this encoder; is it the right model?\n  {lines}")
    return jax.tree.map(lambda source, leaf: source.read(tensors, leaf.shape), sources, shapes)
