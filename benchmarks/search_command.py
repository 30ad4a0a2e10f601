"""How long does the command `vmr search INDEX "a sentence"` take, from its start to its end?

    python -m benchmarks.search_command                  # 1 k, 10 k, 100 k videos of 10 frames
    python -m benchmarks.search_command --videos 1000 --repeats 5 --json command.json

The index has random rows in the space of the demo's encoder, 128 wide, whose weights are in the
package. Cold: nothing is compiled, and the index's files are not in memory; warm: the runs after
it. "told" is the same command with a word that the encoder does not know, which ends in a line.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.random_index import FRAMES, write_index
from benchmarks.report import show
from vmr_jax.encoders.demo import WEIGHTS
from vmr_jax.encoders.images import weights_digest

_WIDTH = 128
_SENTENCE = "the red circle moves to the left"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--videos", default="1000,10000,100000")
    parser.add_argument("--repeats", type=int, default=3, help="of the warm command")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    rows = []
    for videos in map(int, args.videos.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            index = Path(folder, "index")
            index.mkdir()
            write_index(index, videos, _WIDTH, "demo", weights_digest("demo", WEIGHTS))
            rows.append({"videos": videos, **_measure(index, Path(folder, "compiled"), args)})
    show(f"`vmr search` of videos of {FRAMES} frames, seconds", rows, args.json)


def _measure(index: Path, compiled: Path, args: argparse.Namespace) -> dict[str, float]:
    """Wall and CPU seconds: of the first run, the median of the warm ones, and of a mistake."""
    for path in index.iterdir():
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)
    cold = _run(index, compiled, _SENTENCE)
    warm = np.median([_run(index, compiled, _SENTENCE) for _ in range(args.repeats)], axis=0)
    told = np.median([_run(index, compiled, "a zebra", 1) for _ in range(args.repeats)], axis=0)
    return {
        f"{name} {unit}": float(value)
        for name, both in (("cold", cold), ("warm", warm), ("told", told))
        for unit, value in zip(("wall", "CPU"), both, strict=True)
    }


def _run(index: Path, compiled: Path, sentence: str, status: int = 0) -> tuple[float, float]:
    """Wall and CPU seconds of a command, which must end with a status."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "vmr_jax.cli", "search", str(index), sentence, "--top", "5"],
        env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(compiled)},
        capture_output=True,
        text=True,
    )
    wall = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != status:
        raise RuntimeError(done.stderr)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
