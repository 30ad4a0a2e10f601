"""How far a `vmr index` is that runs, told to other processes by a small file in the index."""

import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from vmr_jax.output_files import write_whole

RUNNING = "running.json"


class Running(NamedTuple):
    """A `vmr index` that runs."""

    done: int  # videos that it has read
    videos: int  # that it has to read


@contextmanager
def telling(index: Path) -> Iterator[Callable[[int, int], None]]:
    """Give what tells how many of how many videos are read; at the end nothing is told any more."""
    path = index / RUNNING

    def tell(done: int, videos: int) -> None:
        told = {"process": os.getpid(), "host": socket.gethostname()}
        with suppress(OSError):  # a full disk ends the work where it matters
            write_whole(path, json.dumps(told | Running(done, videos)._asdict()) + "\n")

    try:
        yield tell
    finally:
        path.unlink(missing_ok=True)


def running(index: Path) -> Running | None:
    """How far a `vmr index` is; None where none runs, also where one was killed on this machine."""
    try:
        found = json.loads((index / RUNNING).read_text("utf-8"))
        process, host = int(found["process"]), found["host"]
        told = Running(int(found["done"]), int(found["videos"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return told if host != socket.gethostname() or _lives(process) else None


def _lives(process: int) -> bool:
    """Tell whether a process of this machine is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
