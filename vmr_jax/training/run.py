"""What a run is made of before its first step: data, system, evaluation, state, checkpoints."""

import functools
from pathlib import Path
from typing import NamedTuple

import jax
from rich.console import Console

from vmr_jax import models
from vmr_jax.configs import common
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.normalization import normalization_of, standardizing
from vmr_jax.data.batches.splits import selection_name, selection_split
from vmr_jax.data.text.tokens import vocabulary_size
from vmr_jax.datasets import training_domains, with_selection
from vmr_jax.evaluation.evaluate import make_evaluation
from vmr_jax.models.normalized_inputs import network_params
from vmr_jax.models.ranges import check_ranges
from vmr_jax.training.checkpoint import CHECKPOINTS, Checkpoints, checkpoint_directory
from vmr_jax.training.input_pipeline import InputPipeline, make_input_pipeline
from vmr_jax.training.mesh import check_batch_size, make_mesh
from vmr_jax.training.mining import with_candidates
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.run_summary import print_run_summary, print_selection
from vmr_jax.training.state import (
    TrainState,
    abstract_state,
    first_state,
    num_parameters,
    state_maker,
)
from vmr_jax.training.steps import MakeOptimizer
from vmr_jax.training.workdir import claim_workdir
from vmr_jax.types import INPUTS, Config, Evaluation, Params, System


class Run(NamedTuple):
    """All that the loop needs."""

    config: Config
    workdir: Path
    system: System
    evaluation: Evaluation
    pipeline: InputPipeline
    make_optimizer: MakeOptimizer
    checkpoints: Checkpoints
    meta: dict  # what is saved beside every state
    selects: bool  # whether a split chooses the checkpoint
    state: TrainState  # where the run stands
    last_step: int

    def due(self, step: int) -> tuple[bool, bool]:
        """Tell whether a checkpoint is due after `step`, and whether the state is scored then."""
        config, last = self.config, step == self.last_step
        epoch, inside = divmod(step, self.steps_per_epoch)
        scored = not inside and epoch % (config.eval_every or config.checkpoint_every) == 0
        due = not inside and epoch % config.checkpoint_every == 0
        return due or last, self.selects and (scored or last)

    def out_of_patience(self) -> bool:
        """Tell whether the best checkpoint is as old as config.patience allows."""
        self.checkpoints.wait()
        there, steps = self.checkpoints.steps(), self.config.patience * self.steps_per_epoch
        return bool(steps and there) and there[-1] - self.checkpoints.best_step() >= steps

    @property
    def steps_per_epoch(self) -> int:
        """Steps of one pass over the data."""
        return self.pipeline.pace.steps_per_epoch


def prepare_run(config: Config, workdir: Path, restore: str, console: Console) -> Run:
    """Make a run of a `settled` config, or go on where the workdir's newest checkpoint stands.

    What it reads of other runs, Description.first_run and .pretraining, is trained. Raises
    ValueError where the workdir belongs to another config or other data, and for settings that
    make no run.
    """
    described = models.of(config)
    roles, chooser = described.domains(config), described.chooser(config)
    split = selection_split(config, chooser)
    mesh = make_mesh()
    check_batch_size(config.batch_size, "batch_size")
    located = described.located(config, workdir / models.FIRST_RUN)
    domains = training_domains(config, roles, chooser)
    if described.batch == "candidates":
        domains = {
            role: with_candidates(located, domain, workdir, mesh, console)
            for role, domain in domains.items()
        }
    specs = {role: domain.spec for role, domain in domains.items()}
    system = models.make(config, specs)
    trained = list(specs.values())[-1]._asdict()
    evaluation = make_evaluation(located, trained, split, mesh, console)
    meta = claim_workdir(workdir, config, {role: d.dataset for role, d in domains.items()})
    meta |= {
        "selected_by": selection_name(config, chooser, split),
        "chosen_by": f"val/{described.selected_by}" if split else "",
        "specs": {role: spec._asdict() for role, spec in specs.items()},
        "made_by": {role: dict(d.dataset.videos.made_by) for role, d in domains.items()},
    }
    pipeline = make_input_pipeline(config, described.batch, domains, mesh, console, described.epoch)
    make = functools.partial(make_optimizer, config.optimizer)
    maker = state_maker(system, make(pipeline.pace), pipeline.example, config.seed)
    abstract = abstract_state(maker, mesh, config.parameter_rules)
    checkpoints = Checkpoints(workdir / CHECKPOINTS, config.keep_checkpoints, meta["chosen_by"])
    state = checkpoints.restore_newest(abstract, console.print)
    if state is None:
        state = _started(config, first_state(maker, abstract), domains, restore, console)
    run = Run(
        config=config,
        workdir=workdir,
        system=system,
        evaluation=evaluation,
        pipeline=pipeline,
        make_optimizer=make,
        checkpoints=checkpoints,
        meta=meta,
        selects=bool(split),
        state=state,
        last_step=config.epochs * pipeline.pace.steps_per_epoch,
    )
    run = _announced(run, domains, console)
    if split:
        print_selection(config, chooser, domains[chooser].dataset, split, console)
    return run


def check_settings(config: Config) -> None:
    """Raise ValueError for numbers out of range and for keys that the system does not read."""
    described = models.of(config)
    check_ranges(config, described.ranges)
    if config.patience and config.select == "last":
        raise ValueError("patience waits for a better checkpoint, but select='last' compares none")
    described.refuse_unread(config, common.run())


def settled(config: Config) -> Config:
    """The config with the split that chooses its checkpoint, see `with_selection`.

    Raises ValueError where it chooses by what may not choose, and for bad switches.
    """
    described = models.of(config)
    described.domains(config)
    config = with_selection(config, described.chooser(config))
    selection_split(config, described.chooser(config))
    return config


def _started(
    config: Config, state: TrainState, domains: dict[str, Domain], restore: str, console: Console
) -> TrainState:
    """A first state with the parameters that the run starts from, and its data's statistics."""
    fresh = network_params(state.params)
    params = _starting_params(config, fresh, restore, console)
    if INPUTS in state.params:
        statistics = {
            role: standardizing(domains[role].dataset, normalization_of(config[role]))
            for role in state.params[INPUTS]
        }
        params = {**params, INPUTS: statistics}
    elif params is fresh:
        return state
    places = jax.tree.map(lambda leaf: leaf.sharding, state.params)
    return state._replace(params=jax.device_put(params, places))


def _starting_params(config: Config, fresh: dict, restore: str, console: Console) -> Params:
    """Fresh parameters, or what they take of another run or of weight files."""
    described = models.of(config)
    if restore:
        params = described.merge(config, fresh, _restored(restore))
        console.print(f"starting from the parameters of {restore}")
        return params
    if described.pretrained:
        params = described.pretrained(config, fresh)
        if params is not fresh:
            console.print("starting from the weight files that the config names")
        elif "text" in config and vocabulary_size(config.text) and config.text.size == "base":
            console.print(
                "the text encoder starts from random weights: --config.text.weights=FILE names "
                "pre-trained ones"
            )
        return params
    return fresh


def _restored(restore: str) -> Params:
    checkpoints = Checkpoints(checkpoint_directory(restore), read_only=True)
    params = checkpoints.restore_params(checkpoints.best_step())
    checkpoints.close()
    return params


def _announced(run: Run, domains: dict[str, Domain], console: Console) -> Run:
    """The run, which has said what it is; one that is out of patience ends where it stands."""
    first = int(run.state.step)
    if first:
        console.print(f"resuming {run.workdir} at step {first}")
        if run.out_of_patience():
            run = run._replace(last_step=first)
    parameters = num_parameters(run.state.params)
    print_run_summary(run.config, domains, parameters, run.last_step, console)
    return run
