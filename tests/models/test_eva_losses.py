import jax
import jax.numpy as jnp
import numpy as np

from tests.gradients import check_gradients
from vmr_jax.models.eva.losses import matching_loss

YES = jnp.ones(3, bool)


def test_half_probabilities_cost_four_log_two():
    zero = jnp.zeros(3)
    total, count = matching_loss(zero, zero, zero, YES, YES, jnp.ones(3))
    np.testing.assert_allclose(total / count, 2.7725887, atol=1e-6)


def test_equals_eq_4_from_probabilities():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((3, 3)).astype(np.float32)
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    weight = np.array([1.0, 0.5, 0.0], np.float32)
    has = np.array([True, False, True])
    loss = -2 * np.log(p[0]) - has * np.log(1 - p[1]) - np.log(1 - p[2])
    total, count = matching_loss(*logits, has, YES, weight)
    np.testing.assert_allclose(total, (loss * weight).sum(), rtol=1e-5)
    assert count == 1.5


def test_gradients_and_large_logits():
    logits = jnp.array([0.3, -0.8, 1.2])
    check_gradients(
        lambda a, b, c: matching_loss(a, b, c, YES, YES, jnp.ones(3))[0],
        (logits, logits + 1, -logits),
        atol=1e-2,
        rtol=1e-2,
    )
    far = jnp.full(3, -1e9)
    value, gradient = jax.value_and_grad(
        lambda x: matching_loss(x, far, far, YES, YES, jnp.zeros(3))[0]
    )(far)
    assert value == 0 and (gradient == 0).all()
