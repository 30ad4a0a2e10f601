"""Result files that are either whole or not there, and what is said where the disk is full."""

import errno
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import get_ident
from typing import TextIO

# How NumPy, h5py and TensorStore tell of a full disk, without an errno.
_FULL = re.compile(r"No space left|[Qq]uota exceeded|\d+ requested and \d+ written")


class FullDiskError(OSError):
    """The disk has no space for a file; the message has its path, bytes needed and free."""


def user_cache() -> Path:
    """The folder of what can be made or fetched again: vmr_jax/ in XDG_CACHE_HOME or ~/.cache.

    Raises RuntimeError for a user without a home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "vmr_jax"


def need_space(path: str | Path, size: int) -> None:
    """Raise FullDiskError unless `size` bytes are free for a path, which need not be there yet."""
    free = _free(path)
    if free < size:
        raise _full_disk(path, f"{size:,} bytes are needed, {free:,} are free")


@contextmanager
def needing_space(path: str | Path, size: int = 0) -> Iterator[None]:
    """Write something under a path, of `size` bytes where that is known.

    Raises FullDiskError where they are not free, and for any error by which a full disk ends the
    block, which itself removes what is half-written.
    """
    need_space(path, size)
    try:
        yield
    except FullDiskError:
        raise
    except Exception as error:
        by_number = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
        if not by_number and not _FULL.search(str(error)):
            raise
        need_space(path, size)
        raise _full_disk(path, f"more than the {_free(path):,} free bytes are needed") from error


def _free(path: str | Path) -> int:
    """The bytes that a user may still write where a path is, or will be."""
    there = Path(os.path.realpath(path))
    while not there.exists():
        there = there.parent
    usage = shutil.disk_usage(there)
    return usage.free if usage.total else sys.maxsize  # some network drives do not tell


def _full_disk(path: str | Path, numbers: str) -> FullDiskError:
    return FullDiskError(
        f"no space is left for {path}: {numbers}; make space, then the same command goes on"
    )


@contextmanager
def whole_path(path: str | Path, size: int = 0) -> Iterator[Path]:
    """Yield a path to write to, whose file takes the place of `path`; an error leaves `path` alone.

    It has the suffix of `path`. Links are followed. What is no regular file, such as /dev/stdout or
    a pipe, is yielded itself. Raises FullDiskError, at once where `size` bytes are not free.
    """
    path = Path(path)
    if _is_stream(path):
        yield path
        return
    target = Path(os.path.realpath(path))
    draft = target.with_name(f".draft-{os.getpid()}-{get_ident()}{target.suffix}")
    with needing_space(path, size):
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
    content = text.encode()
    with whole_path(path, len(content)) as draft:
        draft.write_bytes(content)


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
