"""CPU seconds of a config's first command, which has compiled nothing yet, and who spends them.

    taskset -c 0 python -m benchmarks.cold_start eva vlanet --data_dir data

Each row is `--config=configs/NAME.py --config.epochs=1` in a process of its own with an empty cache
of compiled programs; `data` should hold the embedded data already. `compile` is XLA's time, on one
core that is free, by program; `lower` is JAX's, from what was traced to what XLA reads.
"""

import argparse
import multiprocessing
import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import jax

from benchmarks.report import show
from vmr_jax import api

_LOWER, _COMPILE = "jaxpr_to_mlir_module_duration", "backend_compile_duration"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="of configs")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    rows = []
    for name in args.names:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            rows.append(pool.submit(_row, name, args.data_dir).result())
    show("a first command of one epoch, seconds", rows, args.json)


def _row(name: str, data_dir: str) -> dict:
    spent: Counter = Counter()

    def note(event: str, seconds: float, fun_name: str = "", **_) -> None:
        spent[event.rpartition("/")[2], fun_name] += seconds

    jax.monitoring.register_event_duration_secs_listener(note)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["JAX_COMPILATION_CACHE_DIR"] = f"{folder}/programs"
        started = time.process_time()
        api.train(name, f"{folder}/run", epochs=1, data_dir=data_dir)
        total = time.process_time() - started
    compiled = Counter({program: s for (event, program), s in spent.items() if event == _COMPILE})
    return {
        "config": name,
        "CPU": total,
        "lower": sum(s for (event, _), s in spent.items() if event == _LOWER),
        "compile": sum(compiled.values()),
        "of it": ", ".join(f"{program} {s:.1f}" for program, s in compiled.most_common(3)),
    }


if __name__ == "__main__":
    main()
