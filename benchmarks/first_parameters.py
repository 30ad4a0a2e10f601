"""CPU seconds to the first state of a default run: by NumPy, as runs make it, and compiled.

    python -m benchmarks.first_parameters eva vlanet mmn vdi mmcda prem_retriever

Each in this process, which has imported JAX and opened the data, without a cache of compiled
programs: shapes and state as a run makes them, then the same state as one compiled program. The
largest difference is relative to a leaf's largest number.
"""

import argparse
import importlib
import time

import jax
import numpy as np
from rich.console import Console

from benchmarks.report import show
from vmr_jax import models
from vmr_jax.datasets import training_domains
from vmr_jax.training.input_pipeline import make_input_pipeline
from vmr_jax.training.loop import settled
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import abstract_state, first_state, num_parameters, state_maker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="+", help="of configs")
    parser.add_argument("--data_dir", default="data")
    parser.add_argument("--json", default="")
    args = parser.parse_args()
    show("first state", [_row(name, args.data_dir) for name in args.names], args.json)


def _row(name: str, data_dir: str) -> dict:
    config = importlib.import_module(f"vmr_jax.configs.{name}").get_config()
    config.data_dir = data_dir
    described, config = models.of(config), settled(config)
    domains = training_domains(config, described.domains(config), described.chooser(config))
    mesh = make_mesh()
    pipeline = make_input_pipeline(
        config, described.batch, domains, mesh, Console(quiet=True), described.epoch
    )
    system = models.make(config, {role: domain.spec for role, domain in domains.items()})
    optimizer = make_optimizer(config.optimizer, pipeline.pace)

    def maker():
        return state_maker(system, optimizer, pipeline.example, config.seed)

    started, make = time.process_time(), maker()
    ours = jax.block_until_ready(first_state(make, abstract_state(make, mesh)))
    between, make = time.process_time(), maker()
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
