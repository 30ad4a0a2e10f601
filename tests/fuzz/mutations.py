"""Damaged and odd files: each mutation makes other bytes of a file's bytes, by a seeded generator.

`mutate` applies one of them, or puts something in the place of the file that is none.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Generator = np.random.Generator

_NUMBER = re.compile(rb"-?\d+(\.\d+)?([eE][-+]?\d+)?")
_NUMBERS = (b"nan", b"NaN", b"inf", b"-Infinity", b"1e400", b"-1", b"0", b"", b"9" * 25, b"9" * 400)
_PATTERNS = tuple(
    np.array(value, kind).tobytes()
    for kind, value in (
        ("u1", 255),
        ("<i4", -1),
        ("<i4", 2**31 - 1),
        ("<i8", -1),
        ("<i8", 2**62),
        ("<u4", 0),
        ("<f2", np.nan),
        ("<f2", np.inf),
        ("<f4", np.nan),
        ("<f4", np.inf),
        ("<f8", np.nan),
        ("<f8", -np.inf),
    )
)
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**30, 10**400, -(10**309), 1e308, float("nan"), float("inf"),
    "", "train", "nan", "\u0000", "\ud800", [], {}, [[]], [None], [1, [2, [3]]], {"a": {"b": []}},
)  # fmt: skip
_DEEP = b"[" * 100_000
_KINDS = {
    "text": b"once upon a time\n",
    "png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(40),
    "mp4": b"\0\0\0 ftypisom\0\0\2\0isomiso2avc1mp41" + bytes(300),
    "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\3\3\0\0\0\0\0\0\0\0\0",
    "zip": b"PK\5\6" + bytes(18),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(200),
    "npy": b"\x93NUMPY\1\0v\0{'descr': '<f4', 'fortran_order': False, 'shape': (0,), }",
    "pickle": b"\x80\4\x95\5\0\0\0\0\0\0\0]\x94K\1a.",
    "json": b"{}",
    "list": b"[]\n",
    "null": b"null",
    "deep": _DEEP,
    "zeros": bytes(4096),
    "html": b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
}


def cut(rng: Generator, content: bytes) -> bytes:
    """Leave out the end."""
    return content[: rng.integers(len(content))]


def flip(rng: Generator, content: bytes) -> bytes:
    """Turn one to four bits over."""
    changed = bytearray(content)
    for place in rng.integers(len(content), size=rng.integers(1, 5)):
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def overwrite(rng: Generator, content: bytes) -> bytes:
    """Write the bytes of an extreme number somewhere."""
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))]
    place = int(rng.integers(len(content)))
    return content[:place] + pattern + content[place + len(pattern) :]


def insert(rng: Generator, content: bytes) -> bytes:
    """Put random bytes between."""
    place = int(rng.integers(len(content) + 1))
    return content[:place] + rng.bytes(int(rng.integers(1, 65))) + content[place:]


def delete(rng: Generator, content: bytes) -> bytes:
    """Take some bytes out."""
    start, end = _part(rng, content)
    return content[:start] + content[end:]


def duplicate(rng: Generator, content: bytes) -> bytes:
    """Repeat some bytes."""
    start, end = _part(rng, content)
    return content[:end] + content[start:end] + content[end:]


def other_kind(rng: Generator, content: bytes) -> bytes:
    """Be a file of another kind."""
    return list(_KINDS.values())[rng.integers(len(_KINDS))]


def empty(rng: Generator, content: bytes) -> bytes:
    """Hold nothing."""
    return b""


def number(rng: Generator, content: bytes) -> bytes:
    """Write another number, or none, in the place of one that stands there as text."""
    found = list(_NUMBER.finditer(content))
    if not found:
        return flip(rng, content)
    start, end = found[rng.integers(len(found))].span()
    return content[:start] + _NUMBERS[rng.integers(len(_NUMBERS))] + content[end:]


def byte_order_mark(rng: Generator, content: bytes) -> bytes:
    """Begin as some editors on Windows let a text begin."""
    return b"\xef\xbb\xbf" + content


def newlines(rng: Generator, content: bytes) -> bytes:
    """End lines as Windows or old Macs do."""
    return content.replace(b"\n", (b"\r\n", b"\r")[rng.integers(2)])


def value(rng: Generator, content: bytes) -> bytes:
    """Put a value of another type in the place of one of a JSON text, or of one of its lines."""
    return _in_json(rng, content, _with_another_value)


def entry(rng: Generator, content: bytes) -> bytes:
    """Take an entry out of a JSON text, or out of one of its lines."""
    return _in_json(rng, content, _without_an_entry)


BYTES = (cut, flip, overwrite, insert, delete, duplicate, other_kind, empty, number)
TEXT = (byte_order_mark, newlines)  # that change nothing of what a text says
JSON = (value, entry)


def mutate(rng: Generator, path: Path) -> str:
    """Damage a file in one way; returns the name of the way."""
    if rng.random() < 0.04:
        return _replace(path, ("missing", "directory", "pipe", "dangling")[rng.integers(4)])
    content = path.read_bytes()
    ways: list[Callable[[Generator, bytes], bytes]] = list(BYTES) if content else [other_kind]
    if _is_text(content):
        ways += TEXT
    if _json_lines(content):
        ways += JSON * 2
    way = ways[rng.integers(len(ways))]
    path.write_bytes(way(rng, content))
    return way.__name__


def _replace(path: Path, kind: str) -> str:
    path.unlink()
    if kind == "directory":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "dangling":
        path.symlink_to(path.with_name("nowhere"))
    return kind


def _part(rng: Generator, content: bytes) -> tuple[int, int]:
    start = int(rng.integers(len(content)))
    return start, start + int(rng.integers(1, 65))


def _is_text(content: bytes) -> bool:
    try:
        return b"\n" in content and "\0" not in content.decode()
    except UnicodeDecodeError:
        return False


def _json_lines(content: bytes) -> list[Any]:
    """The values of a JSON text, or of JSON lines; none of anything else."""
    for texts in ([content], content.splitlines()):
        try:
            return [value for value in map(json.loads, texts) if isinstance(value, dict | list)]
        except (ValueError, RecursionError):
            continue
    return []


def _in_json(
    rng: Generator, content: bytes, change: Callable[[Generator, list[tuple[Any, Any]]], None]
) -> bytes:
    """A JSON text in which a value was changed; of JSON lines one of these."""
    lines = _json_lines(content)
    row = int(rng.integers(len(lines)))
    changed = [lines[row]]
    change(rng, _places(changed))
    lines[row : row + 1] = changed
    return "".join(json.dumps(line) + "\n" for line in lines).encode()


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every (dict or list, key or index) in a JSON tree."""
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree)
    found = []
    for key, inner in pairs:
        found.append((tree, key))
        if isinstance(inner, dict | list):
            found += _places(inner)
    return found


def _with_another_value(rng: Generator, places: list[tuple[Any, Any]]) -> None:
    parent, key = places[rng.integers(len(places))]
    parent[key] = _VALUES[rng.integers(len(_VALUES))]


def _without_an_entry(rng: Generator, places: list[tuple[Any, Any]]) -> None:
    parent, key = places[rng.integers(len(places))]
    del parent[key]
