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
    state: TrainState, batch, key: Array, *, system: System, optimizer
) -> tuple[TrainState, dict[str, Array]]:
    """One update. Returns the new state and the loss, its terms and the gradient's norm."""
    batch = jax.tree.map(_as_float32, batch)
    step_key = jax.random.fold_in(key, state.step)

    def loss_of(params):
        means = term_means(system.loss(params, batch, step_key, state.step))
        return sum(means.values()), means

    (loss, means), grads = jax.value_and_grad(loss_of, has_aux=True)(state.params)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    metrics = {"loss": loss, **means, "grad_norm": optax.global_norm(grads)}
    return TrainState(state.step + 1, params, opt_state), metrics


def make_batch_step(system: System, optimizer, mesh: Mesh, state: TrainState):
    """jit: (state, batch, key) -> (state, metrics), for batches that come from the host."""

    def step(state, batch, key):
        return train_step(state, batch, key, system=system, optimizer=optimizer)

    placed = _shardings(state)
    return jax.jit(step, donate_argnums=0, out_shardings=(placed, replicated(mesh)))


def make_scan(system: System, optimizer, mesh: Mesh, state: TrainState):
    """jit: (state, {domain: tables}, {domain: rows (steps, B)}, key) -> (state, metrics (steps,)).

    The tables are arguments, so that they are neither constants nor copies.
    """

    def scan(state, tables: dict[str, ResidentTables], rows: dict[str, Array], key: Array):
        def body(state, rows):
            batch = as_batch({name: _gather(tables[name], rows[name], mesh) for name in rows})
            return train_step(state, batch, key, system=system, optimizer=optimizer)

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


def _as_float32(leaf: Array) -> Array:
    return leaf.astype(jnp.float32) if leaf.dtype == jnp.float16 else leaf


def _shardings(state: TrainState):
    return jax.tree.map(lambda leaf: leaf.sharding, state)
