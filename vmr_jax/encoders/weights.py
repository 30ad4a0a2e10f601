"""Weight files: read without running any code of theirs, and fitted to a module's parameters."""

import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

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
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights at {path}")
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
        roots = [name[: -len("data.pkl")] for name in names if re.fullmatch("[^/]+/data.pkl", name)]
        if len(roots) != 1:
            raise ValueError("expected one <folder>/data.pkl in the archive")
        byteorder = f"{roots[0]}byteorder"
        if byteorder in names and archive.read(byteorder) != b"little":
            raise ValueError("its numbers are not little-endian")
        return dict(_named(_TensorUnpickler(archive, roots[0]).load()))


class _ScriptModule:
    """Stands for every module of a TorchScript archive: pickle sets its attributes."""


def _named(node: Any, prefix: str = "") -> Iterator[tuple[str, np.ndarray]]:
    """The tensors below a state dict or a module, under their dotted names."""
    for name, value in (node if isinstance(node, dict) else vars(node)).items():
        if isinstance(value, np.ndarray):
            yield f"{prefix}{name}", value
        elif isinstance(value, dict | _ScriptModule):
            yield from _named(value, f"{prefix}{name}.")


class _TensorUnpickler(pickle.Unpickler):
    """Unpickle tensors of an archive, as NumPy arrays, and refuse everything else."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(archive.open(f"{root}data.pkl"))
        self._archive, self._root = archive, root
        self._storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Look a global up, when it is one that tensors need."""
        if module.split(".")[0] == "__torch__":
            return _ScriptModule
        if module == "torch" and name in _STORAGES:
            return np.dtype(_STORAGES[name])
        if (module, name) not in _GLOBALS:
            raise ValueError(f"its pickle asks for {module}.{name}, which weights do not need")
        return _GLOBALS[module, name]

    def persistent_load(self, pid: Any) -> np.ndarray:
        """Read a storage, all elements of it, once."""
        _, dtype, key, _, size = pid
        if key not in self._storages:
            data = self._archive.read(f"{self._root}data/{key}")
            self._storages[key] = np.frombuffer(data, dtype, count=size)
        return self._storages[key]


def _rebuild_tensor(
    storage: np.ndarray, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *_: Any
) -> np.ndarray:
    """A view of a storage (torch._utils._rebuild_tensor_v2), checked to stay inside it."""
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (all(size) and last >= len(storage)):
        raise ValueError("a tensor reaches beyond its storage")
    steps = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], size, steps, writeable=False)


def _first(value: Any, *_: Any) -> Any:
    """The plain value inside a parameter, a typed list or a device."""
    return value


_GLOBALS = {
    ("collections", "OrderedDict"): OrderedDict,
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
