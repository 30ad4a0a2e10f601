import jax.numpy as jnp
import numpy as np

from vmr_jax.losses.contrastive import hinge_loss


def test_the_worked_example_of_the_specification():
    positive, negative = jnp.array([0.9, 0.3, 0.3]), jnp.array([0.15, 0.2, 0.2])
    for item, expected in ((0, 0.0), (1, 0.4)):
        total, count = hinge_loss(positive, negative, 0.5, jnp.arange(3) == item)
        np.testing.assert_allclose([total, count], [expected, 1], atol=1e-7)
    total, count = hinge_loss(positive, negative, 0.5, jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(total / count, 0.2, atol=1e-7)
