"""Weight files, read as named tensors without running any code of theirs."""

import math
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from vmr_jax.input_files import check_archive, require_file
from vmr_jax.pickle_data import ARRAYS, Array, Global, Stub, plain, read_pickle
from vmr_jax.weights.tensor_bundle import is_bundle, read_bundle

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

_MAGIC = 0x1950A86A20F9469CFC6C  # begins PyTorch's files of before version 1.6


def read_tensors(path: str | Path) -> dict[str, np.ndarray]:
    """Read the named tensors of a weight file.

    The file is a safetensors file, a PyTorch state dict (pytorch_model.bin) of any version, a
    TorchScript archive (OpenAI's ViT-B-32.pt), a pickle of NumPy arrays in dicts, whatever its
    name, or the index of a TensorFlow checkpoint (model.ckpt.index, its data beside it). Pickles
    may rebuild tensors and do nothing else. Names of inner dicts are joined by dots.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged, empty, in another format, or its pickle asks for anything
            but tensors (named in the message).
    """
    path = require_file(path, "weights")
    with path.open("rb") as file:
        head = file.read(9)
    archive = head.startswith(b"PK\x03\x04")
    bare = head.startswith(b"\x80") and not head.endswith(b"{")  # safetensors: length, then "{"
    read = _read_archive if archive else _read_bare if bare else safetensors.numpy.load_file
    if is_bundle(path):
        read = read_bundle
    try:
        tensors = read(path)
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


def _read_bare(path: Path) -> dict[str, np.ndarray]:
    """Read a pickle of arrays, or the pickles and storages of PyTorch before version 1.6."""
    with path.open("rb") as file:
        content = read_pickle(file, ARRAYS)
        if content == _MAGIC:
            read_pickle(file, {})  # the version
            if not read_pickle(file, {}).get("little_endian"):
                raise ValueError("its numbers are not little-endian")
            storages = _LaterStorages(path.stat().st_size)
            content = read_pickle(file, _BUILDERS, objects=_is_class, persistent=storages.promise)
            for key in read_pickle(file, {}):
                storages.fill(key, file)
        return dict(_named(content))


def _named(node: Any) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors below a state dict or a module, under their dotted names."""
    left = [("", node)]
    while left:
        prefix, node = left.pop()
        inner = []
        for name, value in _parts(node).items():
            if isinstance(value, np.ndarray | Array):
                yield f"{prefix}{name}", plain(value)
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
        if key not in self._found:
            data = self._archive.read(f"{self._root}data/{key}")
            self._found[key] = np.frombuffer(data, _element(kind), count=size)
        return self._found[key]


class _LaterStorages:
    """The storages of a file in which they come after the tensors."""

    def __init__(self, size: int):
        self._left = size  # bytes that the file can hold
        self._found: dict[str, np.ndarray] = {}

    def promise(self, pid: Any) -> np.ndarray:
        """The storage of a persistent id as `_Storages.read`, to be filled; it has no views."""
        _, kind, key, _, size, view = pid
        if view is not None:
            raise ValueError("it has views of storages")
        if key not in self._found:
            self._left -= size * _element(kind).itemsize
            if size < 0 or self._left < 0:
                raise ValueError("its storages are larger than the file")
            self._found[key] = np.zeros(size, _element(kind))
        return self._found[key]

    def fill(self, key: str, file: BinaryIO) -> None:
        """Read the storage that stands next in the file: how many elements, and they."""
        storage = self._found[key]
        size = int.from_bytes(file.read(8), "little")
        data = file.read(storage.nbytes)
        if size != len(storage) or len(data) != storage.nbytes:
            raise ValueError(f"its storage {key} has not the {len(storage)} elements it should")
        storage[:] = np.frombuffer(data, storage.dtype)


def _element(kind: Any) -> np.dtype:
    """The dtype of a class of storages."""
    if not isinstance(kind, Global) or kind.name not in _STORAGES:
        raise ValueError(f"it has a storage of {kind!r}")
    return np.dtype(_STORAGES[kind.name])


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
