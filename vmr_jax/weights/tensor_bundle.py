"""TensorFlow's checkpoints: an index beside files of numbers, read without TensorFlow.

The index is a table of LevelDB, of blocks in which a key says how much it shares with the one
before it, and each value a protocol buffer (tensor_bundle.proto).
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

_MAGIC = (0xDB4775248B80FB57).to_bytes(8, "little")  # ends the table
_FOOTER = 48  # bytes
_DTYPES = {
    1: np.float32,
    2: np.float64,
    3: np.int32,
    9: np.int64,
    14: jnp.bfloat16,
    19: np.float16,
}


def is_bundle(path: Path) -> bool:
    """Whether a file is such an index, by its end."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_MAGIC)))
        return file.read() == _MAGIC


def read_bundle(path: Path) -> dict[str, np.ndarray]:
    """The tensors of NAME.index, whose numbers lie in NAME.data-00000-of-00001 beside it.

    Raises FileNotFoundError without these, and ValueError for another kind or number of them.
    """
    entries = _entries(path.read_bytes())
    data = [file.read_bytes() for file in data_files(path)]
    return {
        name: _tensor(name, dict(_fields(value)), data) for name, value in entries.items() if name
    }


def data_files(path: Path) -> list[Path]:
    """The files of numbers of an index; FileNotFoundError where one is not there."""
    header = dict(_fields(_entries(path.read_bytes())[""]))
    if header.get(2):
        raise ValueError("its numbers are not little-endian")
    count = header.get(1, 1)
    files = []
    for shard in range(count):
        files.append(path.with_suffix(f".data-{shard:05d}-of-{count:05d}"))
        if not files[-1].is_file():
            raise FileNotFoundError(f"its numbers are missing: no {files[-1].name} beside it")
    return files


def _tensor(name: str, entry: dict, data: list[bytes]) -> np.ndarray:
    """A tensor by its entry: 1 kind, 2 shape, 3 file, 4 offset, 5 bytes, 7 slices."""
    if entry[1] not in _DTYPES or 7 in entry:
        raise ValueError(f"{name} is not a plain tensor of numbers")
    shape = [
        dict(_fields(dim)).get(1, 0) for number, dim in _fields(entry.get(2, b"")) if number == 2
    ]
    kind, begin = np.dtype(_DTYPES[entry[1]]), entry.get(4, 0)
    numbers = data[entry.get(3, 0)][begin : begin + entry[5]]
    if len(numbers) != math.prod(shape) * kind.itemsize:
        raise ValueError(f"{name} has not the numbers of its shape {tuple(shape)}")
    return np.frombuffer(numbers, kind).reshape(shape)


def _entries(table: bytes) -> dict[str, bytes]:
    """Keys and values of a table."""
    at = len(table) - _FOOTER
    for _ in range(2):  # of the footer's two handles the first is of metadata
        begin, at = _varint(table, at)
        size, at = _varint(table, at)
    found = {}
    for _, handle in _block(table, begin, size):
        begin, at = _varint(handle, 0)
        found |= {key.decode(): x for key, x in _block(table, begin, _varint(handle, at)[0])}
    return found


def _block(table: bytes, begin: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of a block, which ends with where keys stand whole, and how many do."""
    if table[begin + size]:
        raise ValueError("its index is compressed")
    block, at, key = table[begin : begin + size], 0, b""
    whole = int.from_bytes(block[-4:], "little")
    while at < size - 4 - 4 * whole:
        shared, at = _varint(block, at)
        own, at = _varint(block, at)
        length, at = _varint(block, at)
        key = key[:shared] + block[at : at + own]
        at += own + length
        yield key, block[at - length : at]


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a protocol buffer by their numbers."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == 0:
            value, at = _varint(message, at)
        else:
            size, at = _varint(message, at) if tag & 7 == 2 else ({1: 8, 5: 4}[tag & 7], at)
            value, at = message[at : at + size], at + size
        yield tag >> 3, value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 7 bits a byte, the lowest first, and where it ends."""
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 128:
            return value, at
