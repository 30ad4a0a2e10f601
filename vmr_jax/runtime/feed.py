"""How batches reach the train step: tables on the device, or a stream from the disk."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from ml_collections import ConfigDict
from rich.console import Console

from vmr_jax.data import pipeline, resident
from vmr_jax.data.pairs import Domain
from vmr_jax.data.sampler import Sampler, make_sampler, steps_per_epoch
from vmr_jax.runtime.logs import track
from vmr_jax.runtime.mesh import along_batch, local_rows
from vmr_jax.runtime.state import TrainState
from vmr_jax.runtime.steps import as_batch, make_batch_step, make_scan
from vmr_jax.types import Batch, DataSpec, System

# (state, first step, last step) -> (state, {metric: (last - first,) array on the device})
Advance = Callable[[TrainState, int, int], tuple[TrainState, dict[str, jax.Array]]]
RESIDENCIES = ("device", "host")


class Feed(NamedTuple):
    """A run's batches. An epoch is one pass over the last domain, which is the target."""

    steps_per_epoch: int
    example: Batch  # of ShapeDtypeStructs, or a HybridBatch of them
    make_advance: Callable[[System, object, TrainState], Advance]


def make_feed(config: ConfigDict, domains: dict[str, Domain], mesh: Mesh, console: Console) -> Feed:
    """The feed that `config.data.residency` names; both give identical batches."""
    if config.data.residency not in RESIDENCIES:
        raise ValueError(
            f"data.residency is {config.data.residency!r}; it must be one of {RESIDENCIES}"
        )
    samplers = {
        role: make_sampler(
            domain.pairs.video, config.batch_size, config.seed, role, config.data.queries_per_video
        )
        for role, domain in domains.items()
    }
    last = list(domains.values())[-1]
    examples = {role: _example(domain.spec, config.batch_size) for role, domain in domains.items()}
    if config.data.residency == "device":
        make_advance = _resident_advance(config, domains, samplers, mesh, console)
    else:
        make_advance = _streamed_advance(config, domains, samplers, mesh)
    return Feed(
        steps_per_epoch(len(last.pairs.video), config.batch_size), as_batch(examples), make_advance
    )


def _resident_advance(config, domains, samplers: dict[str, Sampler], mesh: Mesh, console: Console):
    def make(system: System, optimizer, state: TrainState) -> Advance:
        tables = {
            role: resident.load_tables(
                domain, mesh, lambda rows: track(rows, "loading features", console)
            )
            for role, domain in domains.items()
        }
        scan = make_scan(system, optimizer, mesh, state)
        sharding = NamedSharding(mesh, PartitionSpec(None, "data"))

        def advance(state, first, last):
            rows = {
                role: jax.make_array_from_process_local_data(
                    sharding, local_rows(np.stack([sampler(k) for k in range(first, last)]))
                )
                for role, sampler in samplers.items()
            }
            return scan(state, tables, rows, np.uint32(config.seed))

        return advance

    return make


def _streamed_advance(config, domains, samplers: dict[str, Sampler], mesh: Mesh):
    weight = local_rows(np.ones(config.batch_size, np.float32))

    def read(step: int):
        return as_batch(
            {
                role: pipeline.read_batch(domain, local_rows(samplers[role](step)), weight)
                for role, domain in domains.items()
            }
        )

    def make(system: System, optimizer, state: TrainState) -> Advance:
        batch_step = make_batch_step(system, optimizer, mesh, state)
        sharding = along_batch(mesh)
        batches = {}

        def advance(state, first, last):
            if first not in batches:
                end = config.epochs * steps_per_epoch(
                    len(list(domains.values())[-1].pairs.video), config.batch_size
                )
                batches.clear()
                batches[first] = pipeline.stream(
                    read, first, end, config.data.threads, config.data.prefetch
                )
            stream = batches.pop(first)
            collected = []
            for _ in range(first, last):
                batch = jax.tree.map(
                    lambda leaf: jax.make_array_from_process_local_data(sharding, leaf),
                    next(stream),
                )
                state, metrics = batch_step(state, batch, np.uint32(config.seed))
                collected.append(metrics)
            batches[last] = stream
            return state, jax.tree.map(lambda *values: jnp.stack(values), *collected)

        return advance

    return make


def _example(spec: DataSpec, batch_size: int) -> Batch:
    def shape(*sizes, dtype=jnp.float32):
        return jax.ShapeDtypeStruct((batch_size, *sizes), dtype)

    return Batch(
        video=shape(spec.max_clips, spec.video_dim),
        video_mask=shape(spec.max_clips, dtype=jnp.bool_),
        num_clips=shape(dtype=jnp.int32),
        query=shape(spec.max_words, spec.word_dim),
        query_mask=shape(spec.max_words, dtype=jnp.bool_),
        duration=shape(),
        video_id=shape(dtype=jnp.int32),
        query_id=shape(dtype=jnp.int32),
        moment=shape(2),
        span=shape(2, dtype=jnp.int32),
        weight=shape(),
    )
