"""The one train step of every system, a loop over it, and the prediction step."""

import itertools
from collections.abc import Callable, Iterator
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vmr_jax.data.batches.data_paths import ResidentTables, gather_batch
from vmr_jax.layers.hashed_keys import step_key
from vmr_jax.training.mesh import along_batch, replicated
from vmr_jax.training.state import TrainState, split_statistics
from vmr_jax.types import (
    STATISTICS,
    AnyBatch,
    Array,
    Batch,
    HybridBatch,
    LossTerms,
    Moments,
    MomentSystem,
    Params,
    Progress,
    System,
    VideoBatch,
)


def term_means(terms: LossTerms) -> dict[str, Array]:
    """Each term's weighted mean; a term without items is 0."""
    return {
        name: jnp.where(count > 0, total / jnp.maximum(count, 1e-9), 0.0)
        for name, (total, count) in terms.items()
    }


class Pace(NamedTuple):
    """How long a run is; in a compiled step `epochs` is an argument."""

    steps_per_epoch: int
    epochs: int | Array

    @property
    def steps(self) -> int | Array:
        """Of the whole run."""
        return self.steps_per_epoch * self.epochs

    def progress(self, step: Array) -> Progress:
        """Where a run stands after `step` steps."""
        return Progress(step, step // self.steps_per_epoch, step / jnp.float32(self.steps))


MakeOptimizer = Callable[[Pace], optax.GradientTransformation]


def chunks(first: int, last: int, steps_per_epoch: int, size: int) -> Iterator[tuple[int, int]]:
    """Split [first, last) into pieces of at most `size` that end with an epoch.

    The pieces of an epoch differ by one step at most. They do not depend on `first`, so that a
    resumed run makes the same ones, but for what is left of a piece that `first` lies in.
    """
    pieces = _pieces(steps_per_epoch, size)
    edges = [piece * steps_per_epoch // pieces for piece in range(pieces + 1)]
    for epoch in range(first // steps_per_epoch, -(-last // steps_per_epoch)):
        for begin, end in itertools.pairwise(edges):
            start, stop = epoch * steps_per_epoch + begin, epoch * steps_per_epoch + end
            if stop > first:
                yield max(start, first), stop


def longest_chunk(steps_per_epoch: int, size: int) -> int:
    """The steps of the longest piece of `chunks`."""
    return -(-steps_per_epoch // _pieces(steps_per_epoch, size))


def _pieces(steps_per_epoch: int, size: int) -> int:
    return -(-steps_per_epoch // size)


def train_step(
    state: TrainState, batch, seed: Array, *, system: System, optimizer, pace: Pace
) -> tuple[TrainState, dict[str, Array]]:
    """One update, its randomness from (seed, state.step).

    Returns the new state and, as metrics, the loss, its terms, what the system watches, and the
    gradient's norm.
    """
    batch = as_float32(batch)
    key = step_key(seed, state.step)
    trained, fixed = split_statistics(state.params)

    def loss_of(trained):
        losses = system.loss(trained | fixed, batch, key, pace.progress(state.step))
        means = term_means(losses.terms)
        watched = term_means(losses.watched)
        return sum(means.values()), (means | watched, losses.statistics)

    (loss, (means, replaced)), grads = jax.value_and_grad(loss_of, has_aux=True)(trained)
    updates, opt_state = optimizer.update(grads, state.opt_state, trained)
    params = cast(dict, optax.apply_updates(trained, updates)) | fixed  # optax: some tree
    if STATISTICS in fixed:
        params |= {STATISTICS: replaced}
    metrics = {"loss": loss, **means, "grad_norm": optax.tree.norm(grads)}
    return TrainState(state.step + 1, params, opt_state), metrics


def make_batch_step(
    system: System, make_optimizer: MakeOptimizer, pace: Pace, mesh: Mesh, state: TrainState
):
    """jit: (state, batch, seed, epochs) -> (state, metrics), for batches from the host."""
    step = _step_of_run(system, make_optimizer, pace)
    placed = _shardings(state)
    return jax.jit(step, donate_argnums=0, out_shardings=(placed, replicated(mesh)))


def make_loop(
    system: System, make_optimizer: MakeOptimizer, pace: Pace, mesh: Mesh, state: TrainState
):
    """jit: (state, tables, {domain: indices (rows, ...)}, steps, seed, epochs) -> as a step.

    It takes the first `steps` of the rows; metrics are (rows,), 0 from there on. `steps` is an
    argument, so that pieces of any length are one program, and so are the tables, so that they are
    neither constants nor copies.
    """
    step = _step_of_run(system, make_optimizer, pace)

    def loop(state, tables: dict[str, ResidentTables], indices, steps, seed: Array, epochs: Array):
        @jax.jit  # traced once, for the metrics' shapes and for the loop
        def take(state, row: Array):
            index = jax.tree.map(lambda rows: rows[row], indices)
            batch = as_batch({name: _gather(tables[name], index[name], mesh) for name in index})
            return step(state, batch, seed, epochs)

        def body(row: Array, carry):
            state, metrics = carry
            state, new = take(state, row)
            return state, jax.tree.map(lambda kept, one: kept.at[row].set(one), metrics, new)

        rows = jax.tree.leaves(indices)[0].shape[0]
        first = jnp.int32(0)
        _, shapes = jax.eval_shape(take, state, first)
        blank = jax.tree.map(lambda one: jnp.zeros((rows, *one.shape), one.dtype), shapes)
        return jax.lax.fori_loop(first, steps, body, (state, blank))

    placed = _shardings(state)
    return jax.jit(loop, donate_argnums=0, out_shardings=(placed, replicated(mesh)))


def _step_of_run(system: System, make_optimizer: MakeOptimizer, pace: Pace):
    """`train_step` given the number of epochs: compiled once, it serves any length of run."""

    def step(state, batch, seed: Array, epochs: Array):
        given = pace._replace(epochs=epochs)
        optimizer = make_optimizer(given)
        return train_step(state, batch, seed, system=system, optimizer=optimizer, pace=given)

    return step


def make_predict(system: MomentSystem, mesh: Mesh):
    """jit: (params, batch) -> Moments, complete on every process."""

    def predict(params: Params, batch: Batch | VideoBatch) -> Moments:
        return system.predict(params, as_float32(batch))

    return jax.jit(predict, out_shardings=replicated(mesh))


def as_batch(batches: dict) -> AnyBatch:
    """The only domain's batch, or both as a HybridBatch."""
    return HybridBatch(**batches) if len(batches) == 2 else next(iter(batches.values()))


def as_float32(batch):
    """A batch with its float16 features as the systems read them."""
    widen = lambda leaf: leaf.astype(jnp.float32) if leaf.dtype == jnp.float16 else leaf  # noqa: E731
    return jax.tree.map(widen, batch)


def _gather(tables: ResidentTables, index, mesh: Mesh) -> Batch | VideoBatch:
    index = jax.lax.with_sharding_constraint(index, along_batch(mesh))
    return jax.lax.with_sharding_constraint(gather_batch(tables, index), along_batch(mesh))


def _shardings(state: TrainState):
    return jax.tree.map(lambda leaf: leaf.sharding, state)
