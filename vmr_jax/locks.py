"""One process at a time writes in a folder; the second is told who does."""

import errno
import fcntl
import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NAME = ".lock"
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)  # of file systems that have none


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which is made where it is missing; the system frees what a crash held.

    Raises:
        ValueError: another process, or another call in this one, holds it.
        PermissionError: it cannot be written.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = _take(folder)
    except OSError as error:
        raise PermissionError(f"{folder} cannot be written ({error.strerror})") from error
    try:
        _sign(lock)
        yield
    finally:
        (folder / _NAME).unlink(missing_ok=True)
        os.close(lock)
        with suppress(OSError):  # one is not empty
            for path in made:
                path.rmdir()


def _take(folder: Path) -> int:
    """The descriptor of a folder's lock file, locked at once or not at all."""
    path = folder / _NAME
    while True:
        lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(lock, 1000, 0).decode("utf-8", "replace") or "another process"
            os.close(lock)
            raise ValueError(
                f"{folder} is being written by {holder}: wait for it or stop it"
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            told = f"{folder} has no locks ({error.strerror}): let no other process write there"
            print(told, file=sys.stderr)
            return lock
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), path.stat()):
                return lock
        os.close(lock)  # its holder has removed it since it was opened


def _sign(lock: int) -> None:
    """Write into a lock file who holds it."""
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    with suppress(OSError):  # a full disk
        os.ftruncate(lock, 0)
        os.pwrite(
            lock, f"process {os.getpid()} on {socket.gethostname()} since {since}".encode(), 0
        )
