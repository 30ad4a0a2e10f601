"""Find and parse annotation files, with errors that name the file and the line."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vmr_jax.data.datasets.records import Fault
from vmr_jax.input_files import require_file

_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_MOST_DIGITS = 300  # of a whole number: float64 holds it
_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def find_splits(
    name: str, directory: Path, candidates: dict[str, tuple[str, ...]]
) -> tuple[dict[str, Path], list[Fault]]:
    """Find each split's file under the first of its names; absent splits are reported.

    Raises:
        FileNotFoundError: not one split's file is there.
    """
    found, faults = {}, []
    for split, names in candidates.items():
        path = next((directory / n for n in names if (directory / n).exists()), None)
        if path is None:
            faults.append(Fault("no file for a split", f"{split} ({names[0]})", "split left out"))
        else:
            found[split] = path
    if not found:
        wanted = ", ".join(" or ".join(names) for names in candidates.values())
        raise FileNotFoundError(
            f"{directory} holds no annotation file of {name}; looked for {wanted}"
        )
    return found, faults


def read_json(path: Path, kind: type) -> Any:
    """Parse one JSON file whose top level is of the given kind (dict or list).

    Raises:
        ValueError: not JSON, a key twice in one object, a number or text that cannot be stored, or
            another kind at the top level.
    """
    require_file(path, "annotations")
    try:
        value = _parse(path.read_text("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}:{error.lineno}: not valid JSON at column {error.colno} ({error.msg}); "
            "is the file complete?"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if not isinstance(value, kind):
        raise ValueError(f"{path}: expected {_KINDS[kind]} at the top level, found {_kind(value)}")
    return value


def read_json_lines(path: Path) -> Iterator[tuple[str, dict]]:
    """Parse a file of one JSON object a line; yields ("file:line", object), skips blank lines.

    Raises:
        ValueError: a line is not a JSON object, or holds a key twice, or a number or text that
            cannot be stored.
    """
    for where, line in read_lines(path):
        try:
            value = _parse(line)
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{where}: not valid JSON at column {error.colno} ({error.msg}); "
                "expected one object a line"
            ) from error
        except ValueError as error:
            raise ValueError(f"{where}: {error}") from error
        if not isinstance(value, dict):
            raise ValueError(f"{where}: expected one JSON object, found {_kind(value)}")
        yield where, value


def read_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield ("file:line", line) for each line of a UTF-8 text, with or without a byte order mark.

    Lines may end as on Unix, Windows or old Macs. Blank lines are left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not UTF-8, or it is no regular file.
    """
    require_file(path, "annotations")
    with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            try:
                line.encode()
            except UnicodeEncodeError as error:
                raise ValueError(f"{where}: not UTF-8 text") from error
            if text := line.strip():
                yield where, text


def field(record: Any, key: str, kind: type | tuple[type, ...], where: str) -> Any:
    """Take a field that must be there and be of the given kind.

    Raises:
        ValueError: the field is missing or of another kind.
    """
    if not isinstance(record, dict):
        raise ValueError(f"{where}: expected an object, found {_kind(record)}")
    if key not in record:
        raise ValueError(f'{where}: no "{key}"; found {", ".join(record) or "nothing"}')
    value = record[key]
    if not isinstance(value, kind) or isinstance(value, bool):
        wanted = _KINDS[kind[0] if isinstance(kind, tuple) else kind]
        raise ValueError(f'{where}: "{key}" is {_kind(value)}; expected {wanted}')
    return value


def window(value: Any, where: str) -> tuple[float, float]:
    """Read one [start, end] pair of numbers.

    Raises:
        ValueError: it is not a pair of numbers.
    """
    numbers = isinstance(value, list) and all(
        isinstance(x, int | float) and not isinstance(x, bool) for x in value
    )
    if not numbers or len(value) != 2:
        raise ValueError(
            f"{where}: expected [start, end] in numbers, found {json.dumps(value)[:60]}"
        )
    return float(value[0]), float(value[1])


def _parse(text: str) -> Any:
    """Parse JSON whose numbers float64 holds and whose texts UTF-8 holds; ValueError otherwise."""
    try:
        value = _DECODER.decode(text)
        if _SURROGATE.search(text):
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise ValueError("a text has half of a surrogate pair, which is no character") from error
    except RecursionError as error:
        raise ValueError("lists or objects are nested too deeply") from error
    return value


def _whole(digits: str) -> int:
    """Make a whole number, refusing one that is too large."""
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"the number {digits[:12]}... has {len(digits)} digits")
    return int(digits)


def _unique(pairs: list[tuple[str, Any]]) -> dict:
    """Make a dict of an object's pairs, refusing a key that comes twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} comes twice in one object")
    return value


def _kind(value: Any) -> str:
    """Name a JSON value's kind for a message."""
    return _KINDS[type(value)]


_DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_int=_whole)
