"""The train step of a system with statistics, and what it tells a system of its progress."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import abstract_state, first_state, state_maker
from vmr_jax.training.steps import Pace, make_batch_step, train_step
from vmr_jax.types import STATISTICS, Losses, MomentSystem


def _init(key, batch):
    return {"w": jnp.array(2.0), STATISTICS: {"mean": jnp.array(1.0)}}


def _loss(params, batch, key, progress):
    mean = 0.9 * params[STATISTICS]["mean"] + 0.1 * jnp.mean(batch)
    watched = {name: (value * 1.0, 1.0) for name, value in progress._asdict().items()}
    terms = {"square": (jnp.sum((params["w"] * batch) ** 2), batch.size)}
    return Losses(terms, watched, {"mean": mean})


def test_statistics_are_replaced_and_not_trained():
    system = MomentSystem(_init, _loss, predict=lambda *_: None)
    optimizer = optax.adamw(0.1, weight_decay=0.5)
    batch = jnp.array([1.0, 3.0])
    state = state_maker(system, optimizer, batch, seed=0)()
    assert len([x for x in jax.tree.leaves(state.opt_state) if x.dtype == jnp.float32]) == 2
    pace = Pace(steps_per_epoch=2, epochs=2)
    step = jax.jit(
        lambda s, b: train_step(s, b, jnp.uint32(0), system=system, optimizer=optimizer, pace=pace)
    )
    seen = []
    for _ in range(3):
        state, metrics = step(state, batch)
        seen.append(tuple(float(metrics[name]) for name in ("step", "epoch", "fraction")))
    assert seen == [(0, 0, 0), (1, 0, 0.25), (2, 1, 0.5)]
    np.testing.assert_allclose(state.params[STATISTICS]["mean"], 2 - 0.9**3, rtol=1e-6)
    assert float(metrics["loss"]) == float(metrics["square"])
    assert float(state.params["w"]) < 2


def test_another_length_is_not_compiled_again():
    """The share of the run that is done and the learning rate follow the length all the same."""
    settings = ConfigDict({"name": "adamw_linear", "learning_rate": 0.1, "betas": (0.9, 0.999)})
    settings.update(weight_decay=0.0, warmup=0.0, schedule="linear", grad_clip=0.0)
    make, mesh = functools.partial(make_optimizer, settings), make_mesh()
    system = MomentSystem(_init, _loss, predict=lambda *_: None)
    batch = jnp.array([1.0, 3.0])
    maker = state_maker(system, make(Pace(2, 2)), batch, seed=0)
    abstract = abstract_state(maker, mesh)
    step = make_batch_step(system, make, Pace(2, 2), mesh, abstract)
    for epochs in (1, 4):
        state, fractions = first_state(maker, abstract), []
        for _ in range(3):
            before = float(state.params["w"])
            state, metrics = step(state, batch, np.uint32(0), np.int32(epochs))
            fractions.append(float(metrics["fraction"]))
        assert fractions == [done / (2 * epochs) for done in range(3)]
        assert (before == float(state.params["w"])) == (epochs == 1)  # its rate is 0 at the end
    assert step._cache_size() == 1
