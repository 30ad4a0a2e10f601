"""Result files that are either whole or not there."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def whole_path(path: str | Path) -> Iterator[Path]:
    """Yield a path to write to, whose file takes the place of `path`; an error leaves `path` alone.

    It has the suffix of `path`. Links are followed. What is no regular file, such as /dev/stdout or
    a pipe, is yielded itself.
    """
    path = Path(path)
    if _is_stream(path):
        yield path
        return
    target = Path(os.path.realpath(path))
    draft = target.with_name(f".draft-{os.getpid()}{target.suffix}")
    try:
        yield draft
        sync(draft)
        draft.replace(target)
        sync(target.parent)
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def whole_file(path: str | Path) -> Iterator[TextIO]:
    """Open a UTF-8 text file that takes the place of `path` at the end, as `whole_path`."""
    with whole_path(path) as draft, draft.open("w", encoding="utf-8") as file:
        yield file
        file.flush()


def write_whole(path: str | Path, text: str) -> None:
    """Write a UTF-8 text as `whole_file`."""
    with whole_file(path) as file:
        file.write(text)


def sync(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # file systems that sync no directories
            raise
    finally:
        os.close(handle)


def _is_stream(path: Path) -> bool:
    """Tell whether what is there is no regular file, or one that a process holds open."""
    if path.exists() and not path.is_file():
        return True
    places = [path.parent]
    if path.is_symlink():  # /dev/stdout is a link into /proc
        places.append(path.parent / path.readlink().parent)
    return any(os.path.realpath(place).startswith("/proc/") for place in places)
