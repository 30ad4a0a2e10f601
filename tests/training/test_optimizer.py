"""AdamW with groups against PyTorch's arithmetic, and the rate's falls."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from vmr_jax.training.optimizer import make_optimizer, warmed_up
from vmr_jax.training.steps import Pace

PACE = Pace(steps_per_epoch=2, epochs=4)


def _settings(**changes):
    settings = {
        "name": "adamw",
        "learning_rate": 0.1,
        "grad_clip": 0.0,
        "betas": (0.9, 0.99),
        "weight_decay": 0.01,
        "milestones": (2,),
        "slow": {"pattern": "^text/", "factor": 0.1, "freeze_epochs": 1},
    }
    return ConfigDict(settings | changes)


def _run(settings, gradients):
    """The parameters after each step."""
    optimizer = make_optimizer(settings, PACE)
    params = {"text": {"w": jnp.array([1.0, -2.0])}, "head": jnp.array([3.0])}
    state, found = optimizer.init(params), []

    @jax.jit
    def step(params, state, gradient):
        updates, state = optimizer.update(gradient, state, params)
        return optax.apply_updates(params, updates), state

    for text, head in gradients:
        params, state = step(params, state, {"text": {"w": text}, "head": head})
        found.append(jax.tree.map(np.asarray, params))
    return found


def _adamw(value, gradients, rates, betas=(0.9, 0.99), decay=0.01):
    """The literal AdamW of Loshchilov and Hutter in float64; a rate of None is a frozen step."""
    value, m, v, t, found = np.array(value, np.float64), 0.0, 0.0, 0, []
    for gradient, rate in zip(gradients, rates, strict=True):
        if rate is not None:
            t += 1
            m = betas[0] * m + (1 - betas[0]) * gradient
            v = betas[1] * v + (1 - betas[1]) * gradient**2
            scaled = (m / (1 - betas[0] ** t)) / (np.sqrt(v / (1 - betas[1] ** t)) + 1e-8)
            value = value - rate * (scaled + decay * value)
        found.append(value)
    return found


def test_groups_freezing_and_milestones():
    rng = np.random.default_rng(0)
    gradients = [(rng.normal(size=2), rng.normal(size=1)) for _ in range(8)]
    found = _run(_settings(), [tuple(map(jnp.float32, g)) for g in gradients])
    rates = [0.1] * 4 + [0.01] * 4
    head = _adamw([3.0], [g for _, g in gradients], rates)
    text = _adamw([1.0, -2.0], [g for g, _ in gradients], [None] * 2 + [r / 10 for r in rates[2:]])
    for step in range(8):
        np.testing.assert_allclose(found[step]["head"], head[step], rtol=1e-5)
        np.testing.assert_allclose(found[step]["text"]["w"], text[step], rtol=1e-5)


def test_frozen_gradients_do_not_count_in_the_clipped_norm():
    large = (jnp.array([1e6, 1e6]), jnp.array([0.5]))
    clipped, free = (_run(_settings(grad_clip=c), [large]) for c in (1.0, 0.0))
    np.testing.assert_allclose(clipped[0]["head"], free[0]["head"], rtol=1e-6)
    settings = _settings(grad_clip=1.0, slow={"pattern": "", "factor": 1.0, "freeze_epochs": 0})
    optimizer = make_optimizer(settings, PACE)
    gradient = {"w": jnp.array([3e3, 4e3])}
    _, state = optimizer.update(gradient, optimizer.init(gradient), gradient)
    moments = [leaf for leaf in jax.tree.leaves(state) if leaf.shape == (2,)]
    np.testing.assert_allclose(moments[0], 0.1 * np.array([0.6, 0.8]), rtol=1e-5)


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="optimizer.name is 'sgd'; it must be one of"):
        make_optimizer(_settings(name="sgd"), PACE)


def _linear(**changes):
    settings = {
        "name": "adamw_linear",
        "learning_rate": 0.1,
        "grad_clip": 0.0,
        "betas": (0.9, 0.99),
        "weight_decay": 0.01,
        "warmup": 0.25,
        "schedule": "linear",
    }
    return ConfigDict(settings | changes)


@pytest.mark.parametrize(
    ("changes", "rates"),
    [
        ({}, [0, 0.05, 0.1, 0.1 * 5 / 6, 0.1 * 4 / 6, 0.1 * 3 / 6, 0.1 * 2 / 6, 0.1 / 6]),
        ({"schedule": "constant"}, [0, 0.05] + [0.1] * 6),
        ({"warmup": 0.0}, [0.1 * left / 8 for left in range(8, 0, -1)]),
        ({"warmup": 0.01}, [0.1 * left / 8 for left in range(8, 0, -1)]),
        ({"warmup": 0.0, "schedule": "constant"}, [0.1] * 8),
    ],
)
def test_the_rate_rises_then_falls_to_zero(changes, rates):
    settings = _linear(**changes)
    schedule = warmed_up(settings, 8)
    np.testing.assert_allclose([schedule(step) for step in range(8)], rates, rtol=1e-5, atol=1e-8)
    rng = np.random.default_rng(0)
    gradients = [(rng.normal(size=2), rng.normal(size=1)) for _ in range(8)]
    found = _run(settings, [tuple(map(jnp.float32, g)) for g in gradients])
    expected = _adamw([3.0], [g for _, g in gradients], rates)
    for step in range(8):
        np.testing.assert_allclose(found[step]["head"], expected[step], rtol=1e-5)


@pytest.mark.parametrize("warmup", [0.0, 0.25])
def test_adam_has_a_schedule_too(warmup):
    gradients = [(jnp.full(2, 0.5), jnp.full(1, -0.5))] * 8
    settings = _linear(name="adam", warmup=warmup)
    rates = [warmed_up(settings, 8)(step) for step in range(8)]
    for changes, expected in (({}, rates), ({"warmup": 0.0, "schedule": "constant"}, [0.1] * 8)):
        found = _run(_linear(name="adam", **({"warmup": warmup} | changes)), gradients)
        by_hand = _adamw([3.0], [-0.5] * 8, expected, betas=(0.9, 0.999), decay=0.0)
        for step in range(8):
            np.testing.assert_allclose(found[step]["head"], by_hand[step], rtol=1e-5)


def test_the_rate_is_zero_at_the_end():
    assert warmed_up(_linear(), 8)(8) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schedule": "cosine"}, "optimizer.schedule is 'cosine'; it must be one of"),
        ({"warmup": 1.0}, "optimizer.warmup=1.0 is the share of the steps"),
        ({"warmup": -0.1}, "use at least 0 and less than 1"),
    ],
)
def test_a_bad_schedule_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_optimizer(_linear(**changes), PACE)
