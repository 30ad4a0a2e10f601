"""CPU seconds to the first state of a default run: by NumPy, as runs make it, and compiled.

    python -m benchmarks.first_parameters eva vlanet mmn vdi mmcda prem_retriever

Each in this process, which has imported JAX and opened the data, without a cache of compiled
programs: shapes and state as a run makes them, then the same state as one compiled program. The
largest difference is relative to a leaf's largest number.
"""

import argparse
import time

import jax
import numpy as np

from benchmarks.default_run import prepare
from benchmarks.report import show
from vmr_jax.training.state import abstract_state, first_state, num_parameters


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="of configs")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    show("first state", [_row(name, args.data_dir) for name in args.names], args.json)


def _row(name: str, data_dir: str) -> dict:
    run = prepare(name, data_dir)
    started, make = time.process_time(), run.state_maker()
    ours = jax.block_until_ready(first_state(make, abstract_state(make, run.mesh)))
    between, make = time.process_time(), run.state_maker()
    theirs = jax.block_until_ready(jax.jit(make)())
    ended = time.process_time()
    return {
        "system": name,
        "parameters": num_parameters(ours.params),
        "by NumPy s": between - started,
        "compiled s": ended - between,
        "largest difference": max(jax.tree.leaves(jax.tree.map(_difference, ours, theirs))),
    }


def _difference(ours: jax.Array, theirs: jax.Array) -> float:
    x, y = np.asarray(ours), np.asarray(theirs)
    return float(np.abs(x - y).max() / max(np.abs(y).max(), 1e-9))


if __name__ == "__main__":
    main()
