"""`python -m tests.fuzz.campaign LOG FAMILY [INPUT]`: damaged files, one after the other.

FAMILY is one of `tests.fuzz.targets`. A line of LOG is begun before an input is read and ended
after it: target, number, file, mutation | outcome. Where the process crashes, the last line tells
by what. With INPUT, "TARGET/NUMBER", only that one is read, and its trace shown.
"""

import os
import resource
import shutil
import signal
import sys
import tempfile
import traceback
import zlib
from pathlib import Path
from typing import IO

import numpy as np

from tests.fuzz.mutations import TEXT, mutate
from tests.fuzz.targets import TARGETS, Target, silently

EQUAL, REFUSED, CHANGED, FAULT = "equal", "refused", "changed", "FAULT"
SEED = 14
_SECONDS = 10  # until an input counts as one that hangs
_MEMORY = 2**20  # KiB above the start
_HARMLESS = {way.__name__ for way in TEXT}


class HangError(BaseException):
    """An input was not read in time."""


def main(log: Path, family: str, only: str = "") -> None:
    """Read the damaged inputs of a family of targets."""
    signal.signal(signal.SIGALRM, _stop)
    with log.open("w", buffering=1) as lines, tempfile.TemporaryDirectory() as root:
        for name, target in TARGETS.items():
            if target.family == family:
                _damage(name, target, Path(root) / name.replace(" ", "_"), lines, only)


def _damage(name: str, target: Target, root: Path, lines: IO[str], only: str) -> None:
    """Read each damaged input of a target and compare it with what was not damaged."""
    (root / "whole").mkdir(parents=True)
    silently(target.make, root / "whole")
    expected = silently(target.read, shutil.copytree(root / "whole", root / "expected"))
    start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(target.inputs):
        if only and only != f"{name}/{number}":
            continue
        rng = np.random.default_rng([SEED, zlib.crc32(name.encode()), number])
        folder = shutil.copytree(root / "whole", root / str(number), symlinks=True)
        found = {path for pattern in target.damaged for path in folder.glob(pattern)}
        files = sorted(path for path in found if path.is_file() and path.name != ".lock")
        path = files[rng.integers(len(files))]
        way = mutate(rng, path)
        lines.write(f"{name}\t{number}\t{path.relative_to(folder)}\t{way}\t")
        lines.flush()
        outcome = _outcome(target, folder, expected, way, bool(only))
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - start
        if grown > _MEMORY:
            outcome = f"{FAULT} {grown / 2**20:.1f} GiB"
        lines.write(outcome + "\n")
        if not only:
            shutil.rmtree(folder)


def _outcome(target: Target, folder: Path, expected, way: str, shown: bool) -> str:
    """How the reading of a damaged input ended, in a line."""
    signal.alarm(_SECONDS)
    try:
        found = silently(target.read, folder)
        signal.alarm(0)
    except (ValueError, OSError) as error:
        signal.alarm(0)
        if shown:
            traceback.print_exc()
        said = " ".join(str(error).split())
        return f"{REFUSED} {said.replace(str(folder), '.')[:300]}"
    except BaseException as error:  # HangError, and what Rust's panics are too
        signal.alarm(0)
        if shown:
            traceback.print_exc()
        return f"{FAULT} {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    try:
        np.testing.assert_equal(found, expected)
    except AssertionError as error:
        if shown:
            print(error)
        silent = target.sealed or way in _HARMLESS
        return f"{FAULT} reads as something else" if silent else CHANGED
    return EQUAL


def _stop(*_) -> None:
    raise HangError(f"more than {_SECONDS} s")


if __name__ == "__main__":
    os.environ["JAX_PLATFORMS"] = "cpu"
    main(Path(sys.argv[1]), *sys.argv[2:])
