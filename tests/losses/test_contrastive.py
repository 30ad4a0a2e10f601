import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.losses.contrastive import hinge_loss, info_nce


def test_the_worked_example_of_the_specification():
    positive, negative = jnp.array([0.9, 0.3, 0.3]), jnp.array([0.15, 0.2, 0.2])
    for item, expected in ((0, 0.0), (1, 0.4)):
        total, count = hinge_loss(positive, negative, 0.5, jnp.arange(3) == item)
        np.testing.assert_allclose([total, count], [expected, 1], atol=1e-7)
    total, count = hinge_loss(positive, negative, 0.5, jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(total / count, 0.2, atol=1e-7)


def test_info_nce_of_the_specification():
    positive, negative = jnp.array([0.3, 0.31, 0.2]), jnp.array([[0.3], [0.3], [0.9]])
    found = info_nce(positive, negative, jnp.array([[True], [True], [False]]), 0.01)
    np.testing.assert_allclose(found, [0.6931472, 0.3132617, 0], rtol=1e-5)


def test_info_nce_holds_large_logits():
    run = lambda p: info_nce(p, jnp.array([[1.0, -1.0]]), jnp.ones((1, 2), bool), 0.01).sum()  # noqa: E731
    loss, gradient = jax.value_and_grad(run)(jnp.array([-1.0]))
    np.testing.assert_allclose([loss, gradient[0]], [200, -100], rtol=1e-6)
