"""What the benchmarks of a default run's start share: its data, batches, system and optimiser."""

import functools
import importlib
from typing import Any, NamedTuple

from rich.console import Console

from vmr_jax import models
from vmr_jax.datasets import training_domains
from vmr_jax.training.input_pipeline import make_input_pipeline
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.run import settled
from vmr_jax.training.state import state_maker


class DefaultRun(NamedTuple):
    """A config's run before its first step."""

    config: Any
    mesh: Any
    pipeline: Any
    system: Any
    make_optimizer: Any

    def state_maker(self):
        """A function of the first state."""
        optimizer, seed = self.make_optimizer(self.pipeline.pace), self.config.seed
        return state_maker(self.system, optimizer, self.pipeline.example, seed)


def prepare(name: str, data_dir: str) -> DefaultRun:
    """The default run of the config `name`; its data are made where they are not there."""
    config = importlib.import_module(f"vmr_jax.configs.{name}").get_config()
    config.data_dir = data_dir
    described, config = models.of(config), settled(config)
    domains = training_domains(config, described.domains(config), described.chooser(config))
    mesh = make_mesh()
    pipeline = make_input_pipeline(
        config, described.batch, domains, mesh, Console(quiet=True), described.epoch
    )
    system = models.make(config, {role: domain.spec for role, domain in domains.items()})
    optimizer = functools.partial(make_optimizer, config.optimizer)
    return DefaultRun(config, mesh, pipeline, system, optimizer)
