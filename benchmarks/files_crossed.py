"""How many files of the package one EVA epoch crosses: those in which a function is called.

    python -m benchmarks.files_crossed --config.data_dir=DIR --workdir=NEW

Counts over the whole of `--config=configs/eva.py --config.epochs=1`: set-up, an epoch, evaluation.
The bodies of modules and classes do not count. DIR should hold the embedded data already.
"""

import inspect
import sys
import threading
from collections import Counter
from pathlib import Path

from vmr_jax import main

_ROOT = Path(__file__).parents[1]


def count_calls(run) -> Counter:
    """Calls of Python functions by file of the tree, during `run`."""
    calls: Counter = Counter()

    def note(frame, event, _) -> None:
        code = frame.f_code
        if event == "call" and code.co_flags & inspect.CO_OPTIMIZED:
            path = Path(code.co_filename)
            if path.is_relative_to(_ROOT) and path != Path(__file__):
                calls[str(path.relative_to(_ROOT))] += 1

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        run()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return calls


def _train() -> None:
    flags = ["files_crossed", "--config=configs/eva.py", "--config.epochs=1", *sys.argv[1:]]
    try:
        main.start(flags)
    except SystemExit as end:
        if end.code:
            raise


if __name__ == "__main__":
    found = count_calls(_train)
    for file, calls in sorted(found.items()):
        print(f"{calls:8,} {file}")
    print(f"{len(found)} files")
