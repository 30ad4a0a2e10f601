"""How many files of the package one EVA epoch crosses: those in which a function is called.

    python -m benchmarks.files_crossed --config.data_dir=DIR --workdir=NEW

Counts `--config=configs/eva.py --config.epochs=1`: the whole of it (set-up, the epoch, evaluation)
and the epoch alone, from the first traced step to the saved checkpoint. The bodies of modules and
classes do not count. DIR should hold the embedded data already.
"""

import inspect
import sys
import threading
from collections import Counter
from pathlib import Path
from unittest import mock

from vmr_jax import main
from vmr_jax.training import loop

_ROOT = Path(__file__).parents[1]


def count_calls(run) -> tuple[Counter, Counter]:
    """Calls of Python functions by file of the tree during `run`, and during its epoch."""
    calls: Counter = Counter()
    inside = []  # the counts before the epoch and after it
    steps = loop._steps

    def counted(*args):
        inside.append(calls.copy())
        try:
            return steps(*args)
        finally:
            inside.append(calls.copy())

    def note(frame, event, _) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:
            path = Path(code.co_filename)
            if path.is_relative_to(_ROOT) and path != Path(__file__):
                calls[str(path.relative_to(_ROOT))] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        with mock.patch.object(loop, "_steps", counted):
            run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    before, after = inside
    return calls, after - before


def _train() -> None:
    flags = ["files_crossed", "--config=configs/eva.py", "--config.epochs=1", *sys.argv[1:]]
    try:
        main.start(flags)
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    found, epoch = count_calls(_train)
    for file, calls in sorted(found.items()):
        print(f"{calls:9,} {epoch[file]:9,} {file}")
    print(f"{len(found)} files, {len(epoch)} of them in the epoch itself")
