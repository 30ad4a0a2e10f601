"""CPU seconds until the first piece of a default run is trained, by the generator of its keys.

    python -m benchmarks.compile_step eva vlanet

With an empty cache of compiled programs: tracing, compilation and the steps of one piece, then the
steps of further pieces. `threefry` are JAX's own keys, `hashed` those of `train_step`. Each row is
a process of its own; a config's two run at the same time, so that both have an equal share of a
busy machine.
"""

import argparse
import itertools
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from unittest import mock

import jax
import numpy as np

from benchmarks.default_run import prepare
from benchmarks.report import show
from vmr_jax.layers.hashed_keys import step_key
from vmr_jax.training.state import abstract_state, first_state
from vmr_jax.training.steps import chunks

_PIECES = 5  # after the first one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="of configs")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    rows = []
    for name in args.names * args.repeats:
        with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
            rows += pool.map(_row, (name,) * 2, ("threefry", "hashed"), (args.data_dir,) * 2)
    show("the first piece", rows, args.json)


def _row(name: str, keys: str, data_dir: str) -> dict:
    run = prepare(name, data_dir)
    maker = run.state_maker()
    state = first_state(maker, abstract_state(maker, run.mesh))
    used = {"threefry": _threefry, "hashed": step_key}[keys]
    with mock.patch("vmr_jax.training.steps.step_key", used):
        advance = run.pipeline.make_advance(run.system, run.make_optimizer, state)
        per_epoch = run.pipeline.pace.steps_per_epoch
        spent, lengths = [], []
        pieces = chunks(0, per_epoch * run.config.epochs, per_epoch, run.config.log_every)
        for first, last in itertools.islice(pieces, _PIECES + 1):
            started = time.process_time()
            state, metrics = jax.block_until_ready(advance(state, first, last))
            spent.append(time.process_time() - started)
            lengths.append(last - first)
    return {
        "system": name,
        "keys": keys,
        "first piece s": spent[0],
        "step ms": 1e3 * float(np.median(np.divide(spent, lengths)[1:])),
        "loss": float(metrics["loss"][lengths[-1] - 1]),
    }


def _threefry(seed, step):
    return jax.random.fold_in(jax.random.key(seed, impl="threefry2x32"), step)


if __name__ == "__main__":
    main()
