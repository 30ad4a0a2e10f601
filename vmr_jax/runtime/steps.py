"""The one train step of every system, a scan over it, and the prediction step."""

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from vmr_jax.data.resident import ResidentTables, gather_batch
from vmr_jax.runtime.mesh import along_batch, replicated
from vmr_jax.runtime.state import TrainState
from vmr_jax.types import Array, Batch, HybridBatch, LossTerms, Moments, Params, System


def term_means(terms: LossTerms) -> dict[str, Array]:
    """Each term's weighted mean; a term without items is 0."""
    return {
        name: jnp.where(count > 0, total / jnp.maximum(count, 1e-9), 0.0)
        for name, (total, count) in terms.items()
    }


def train_step(
    state: TrainState, batch, seed: Array, *, system: System, optimizer
) -> tuple[TrainState, dict[str, Array]]:
    """One update, its randomness from (seed, state.step).

    Returns the new state and, as metrics, the loss, its terms, what the system watches, and the
    gradient's norm.
    """
    batch = jax.tree.map(_as_float32, batch)
    step_key = jax.random.fold_in(jax.random.key(seed), state.step)

    def loss_of(params):
        terms, watched = system.loss(params, batch, step_key, state.step)
        means = term_means(terms)
        return sum(means.values()), means | term_means(watched)

    (loss, means), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {"loss": loss, **means, "grad_norm": _norm(grads)}
    return TrainState(state.step + 1, params, opt_state), metrics


def make_batch_step(system: System, optimizer, mesh: Mesh, state: TrainState):
    """jit: (state, batch, seed) -> (state, metrics), for batches that come from the host."""

    def step(state, batch, seed):
        return train_step(state, batch, seed, system=system, optimizer=optimizer)

    placed = _shardings(state)
    return jax.jit(step, donate_argnums=0, out_shardings=(placed, replicated(mesh)))


def make_scan(system: System, optimizer, mesh: Mesh, state: TrainState):
    """jit: (state, {domain: tables}, {domain: rows (steps, B)}, seed) -> (state, metrics (steps,)).

    The tables are arguments, so that they are neither constants nor copies.
    """

    def scan(state, tables: dict[str, ResidentTables], rows: dict[str, Array], seed: Array):
        def body(state, rows):
            batch = as_batch({name: _gather(tables[name], rows[name], mesh) for name in rows})
            return train_step(state, batch, seed, system=system, optimizer=optimizer)

        return jax.lax.scan(body, state, rows)

    placed = _shardings(state)
    return jax.jit(scan, donate_argnums=0, out_shardings=(placed, replicated(mesh)))


def make_predict(system: System, mesh: Mesh):
    """jit: (params, batch) -> Moments, complete on every process."""

    def predict(params: Params, batch: Batch) -> Moments:
        return system.predict(params, jax.tree.map(_as_float32, batch))

    return jax.jit(predict, out_shardings=replicated(mesh))


def as_batch(batches: dict[str, Batch]) -> Batch | HybridBatch:
    """The only domain's batch, or both as a HybridBatch."""
    return HybridBatch(**batches) if len(batches) == 2 else next(iter(batches.values()))


def _gather(tables: ResidentTables, rows: Array, mesh: Mesh) -> Batch:
    rows = jax.lax.with_sharding_constraint(rows, along_batch(mesh))
    batch = gather_batch(tables, rows, jnp.ones(rows.shape, jnp.float32))
    return jax.lax.with_sharding_constraint(batch, along_batch(mesh))


def _norm(tree) -> Array:
    return jnp.sqrt(sum(jnp.sum(jnp.square(leaf)) for leaf in jax.tree.leaves(tree)))


def _as_float32(leaf: Array) -> Array:
    return leaf.astype(jnp.float32) if leaf.dtype == jnp.float16 else leaf


def _shardings(state: TrainState):
    return jax.tree.map(lambda leaf: leaf.sharding, state)
