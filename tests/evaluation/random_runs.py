"""Runs of systems that find moments in given videos, with random parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

from vmr_jax import models
from vmr_jax.datasets import training_domains
from vmr_jax.training.checkpoint import Checkpoints
from vmr_jax.training.input_pipeline import make_input_pipeline
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.state import TrainState
from vmr_jax.types import STATISTICS, Config


def save_random_run(workdir: Path, config: Config, made_by: Mapping[str, Any] = {}) -> str:
    """A run of `config` whose only checkpoint holds random parameters; nothing is compiled.

    Statistics of a normalisation are positive. `made_by` made the features, as of VideoTable.
    """
    described = models.of(config)
    domains = training_domains(config, described.domains(config))
    specs = {role: domain.spec for role, domain in domains.items()}
    pipeline = make_input_pipeline(
        config, described.batch, domains, make_mesh(), Console(quiet=True)
    )
    init = models.make(config, specs).init
    rng = np.random.default_rng(0)
    draw = lambda leaf: jnp.asarray(0.5 * rng.standard_normal(leaf.shape, np.float32))  # noqa: E731
    params = jax.tree.map(draw, jax.eval_shape(init, jax.random.key(0), pipeline.example))
    if STATISTICS in params:
        params |= {STATISTICS: jax.tree.map(jnp.abs, params[STATISTICS])}
    checkpoints = Checkpoints(workdir / "checkpoints")
    meta = {
        "config": config.to_dict(),
        "specs": {role: spec._asdict() for role, spec in specs.items()},
        "made_by": dict.fromkeys(specs, made_by),
        "selected_by": "last epoch",
        "chosen_by": "",
    }
    checkpoints.save(TrainState(jnp.int32(3), params, {}), meta)
    checkpoints.close()
    return str(workdir)
