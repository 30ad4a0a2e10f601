import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.layers.gradient_reversal import gradient_reversal


def test_forward_is_the_identity_and_backward_turns_the_sign():
    x = jnp.array([1.0, -2.0, 3.0])
    np.testing.assert_array_equal(gradient_reversal(x), x)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(gradient_reversal(x) ** 2)))(x)
    np.testing.assert_array_equal(gradient, -2 * x)
