import jax
import jax.numpy as jnp
import numpy as np
from jax.test_util import check_grads

from vmr_jax.layers.normalize import l2_normalize, unit_rows


def test_rows_have_length_one_and_zero_rows_stay_zero():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-4, 0.0]])
    np.testing.assert_allclose(l2_normalize(x), [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)
    assert l2_normalize(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    rough = x.astype(jnp.bfloat16)
    np.testing.assert_array_equal(unit_rows(rough), l2_normalize(rough.astype(jnp.float32)))
    assert unit_rows(rough).dtype == jnp.float32
    assert not unit_rows(x, 100.0).any()


def test_gradients_are_right_and_zero_at_zero():
    check_grads(l2_normalize, (jnp.array([[3.0, 4.0, -1.0]]),), order=1, atol=1e-2, rtol=1e-2)
    gradient = jax.grad(lambda x: l2_normalize(x).sum())(jnp.zeros((1, 3)))
    np.testing.assert_array_equal(gradient, 0)
