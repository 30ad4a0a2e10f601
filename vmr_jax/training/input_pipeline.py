"""How batches reach the train step: tables on the device, or a stream from the disk."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rich.console import Console

from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.pairs import Index, make_batch, videos_of
from vmr_jax.data.batches.sampler import (
    Sampler,
    make_candidate_sampler,
    make_sampler,
    make_video_sampler,
)
from vmr_jax.training.logs import track
from vmr_jax.training.mesh import along_batch, local_rows
from vmr_jax.training.state import TrainState
from vmr_jax.training.steps import (
    MakeOptimizer,
    Pace,
    as_batch,
    longest_chunk,
    make_batch_step,
    make_loop,
)
from vmr_jax.types import AnyBatch, Config, System

# (state, first step, last step) -> (state, {metric: array on the device}), of which the first
# (last - first) values are those of the steps
Advance = Callable[[TrainState, int, int], tuple[TrainState, dict[str, jax.Array]]]
RESIDENCIES = ("device", "host")


class InputPipeline(NamedTuple):
    """A run's batches. An epoch is one pass over one of the domains; the others cycle."""

    pace: Pace
    example: AnyBatch  # of ShapeDtypeStructs
    make_advance: Callable[[System, MakeOptimizer, TrainState], Advance]


def make_input_pipeline(
    config: Config,
    form: str,
    domains: dict[str, Domain],
    mesh: Mesh,
    console: Console,
    epoch: str = "last",
) -> InputPipeline:
    """The pipeline that `config.data.residency` names; both give identical batches.

    `form` is what a batch holds, see `sampler.FORMS`. An epoch is one pass over the "last" domain,
    which is the target, or over the "largest".
    """
    if config.data.residency not in RESIDENCIES:
        raise ValueError(
            f"data.residency is {config.data.residency!r}; it must be one of {RESIDENCIES}"
        )
    samplers = {role: _sampler(config, form, role, domain) for role, domain in domains.items()}
    steps = [sampler.steps_per_epoch for sampler in samplers.values()]
    pace = Pace(max(steps) if epoch == "largest" else steps[-1], config.epochs)
    example = {role: _example(domain, samplers[role].index(0)) for role, domain in domains.items()}
    if config.data.residency == "device":
        make_advance = _resident_advance(config, pace, domains, samplers, mesh, console)
    else:
        make_advance = _streamed_advance(config, pace, domains, samplers, mesh)
    return InputPipeline(pace, as_batch(example), make_advance)


def _sampler(config: Config, form: str, role: str, domain: Domain) -> Sampler:
    video, of_run = domain.pairs.video, (config.batch_size, config.seed, role)
    if form == "pairs":
        return make_sampler(video, *of_run, config.data.queries_per_video)
    if form == "candidates":
        if domain.candidates is None:
            raise ValueError(
                f"{config.system} trains on other videos that a retriever ranks high for a query, "
                f"and the {role} has none: rank its videos first"
            )
        return make_candidate_sampler(video, domain.candidates, config.negatives, *of_run)
    return make_video_sampler(video, *of_run, config.epochs, jax.device_count())


def _resident_advance(
    config, pace: Pace, domains, samplers: dict[str, Sampler], mesh: Mesh, console: Console
):
    def make(system: System, make_optimizer: MakeOptimizer, state: TrainState) -> Advance:
        tables = {
            role: data_paths.load_tables(
                domain, mesh, lambda rows: track(rows, "loading features", console)
            )
            for role, domain in domains.items()
        }
        loop = make_loop(system, make_optimizer, pace, mesh, state)
        sharding = NamedSharding(mesh, PartitionSpec(None, "data"))
        of_run = np.uint32(config.seed), np.int32(pace.epochs)
        longest = longest_chunk(pace.steps_per_epoch, config.log_every)

        def place(*steps: np.ndarray):
            local = np.stack([local_rows(rows) for rows in steps])
            return jax.make_array_from_process_local_data(sharding, local)

        def advance(state, first, last):
            steps = last - first
            rows = [*range(first, last), *[last - 1] * (longest - steps)]
            indices = {
                role: jax.tree.map(place, *(sampler.index(k) for k in rows))
                for role, sampler in samplers.items()
            }
            return loop(state, tables, indices, np.int32(steps), *of_run)

        return advance

    return make


def _streamed_advance(config, pace: Pace, domains, samplers: dict[str, Sampler], mesh: Mesh):
    def read(step: int):
        indices = {role: sampler.index(step) for role, sampler in samplers.items()}
        local = jax.tree.map(local_rows, indices)
        return as_batch({r: data_paths.read_batch(domains[r], index) for r, index in local.items()})

    def make(system: System, make_optimizer: MakeOptimizer, state: TrainState) -> Advance:
        batch_step = make_batch_step(system, make_optimizer, pace, mesh, state)
        sharding = along_batch(mesh)
        of_run = np.uint32(config.seed), np.int32(pace.epochs)
        batches = {}

        def advance(state, first, last):
            if first not in batches:
                batches.clear()
                batches[first] = data_paths.stream(
                    read,
                    first,
                    config.epochs * pace.steps_per_epoch,
                    config.data.threads,
                    config.data.prefetch,
                )
            stream = batches.pop(first)
            collected = []
            for _ in range(first, last):
                batch = jax.tree.map(
                    lambda leaf: jax.make_array_from_process_local_data(sharding, leaf),
                    next(stream),
                )
                state, metrics = batch_step(state, batch, *of_run)
                collected.append(metrics)
            batches[last] = stream
            return state, jax.tree.map(lambda *values: jnp.stack(values), *collected)

        return advance

    return make


def _example(domain: Domain, index: Index):
    """The shapes of a batch as the system sees it."""
    blank = domain.blank(*videos_of(domain.pairs, index).shape)
    batch = jax.eval_shape(make_batch, domain.pairs, blank, index)
    seen = {jnp.dtype(jnp.float16): jnp.float32}
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, seen.get(leaf.dtype, leaf.dtype)), batch
    )
