import jax.numpy as jnp
import numpy as np

from tests.gradients import check_gradients
from vmr_jax.models.mmcda.losses import coral


def _points():
    rng = np.random.default_rng(0)
    return [rng.standard_normal((n, 3)).astype(np.float32) for n in (6, 5)]


def test_the_distance_is_that_of_the_covariances():
    x, y = _points()
    difference = np.cov(x.T) - np.cov(y[:4].T)
    found = coral(x, y, jnp.ones(6), jnp.array([1.0, 1, 1, 1, 0]))
    np.testing.assert_allclose(found, (difference**2).sum() / 36, rtol=1e-5)


def test_no_distance_between_equal_empty_or_single_samples():
    x, y = _points()
    assert coral(x, x, jnp.ones(6), jnp.ones(6)) == 0
    assert coral(x, y, jnp.zeros(6), jnp.ones(5)) == 0
    one = jnp.zeros(6).at[2].set(1)
    assert np.isfinite(coral(x, y, one, jnp.ones(5)))


def test_a_shift_is_no_distance():
    x, _ = _points()
    assert coral(x, x + 3, jnp.ones(6), jnp.ones(6)) < 1e-9


def test_gradients():
    x, y = _points()
    weight = jnp.array([1.0, 1, 1, 0, 1])
    check_gradients(lambda a, b: coral(a, b, jnp.ones(6), weight), (x, y), atol=1e-2, rtol=1e-2)
