import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.layers.pooling import masked_max, masked_mean, range_max, top_mean


def _rows(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((3, 5, 4)).astype(np.float32) - 3
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]], bool)
    return x, mask


def test_max_and_mean_read_valid_rows_only():
    x, mask = _rows()
    np.testing.assert_allclose(masked_max(x, mask)[0], x[0, :3].max(0))
    np.testing.assert_allclose(masked_mean(x, mask)[0], x[0, :3].mean(0), rtol=1e-6)
    np.testing.assert_allclose(masked_mean(x, mask)[1], x[1].mean(0), rtol=1e-6)


def test_a_row_without_valid_entries_is_zero_with_a_zero_gradient():
    x, mask = _rows()
    for pool in (masked_max, masked_mean):
        assert not np.asarray(pool(x, mask)[2]).any()
        gradient = jax.grad(lambda x, pool=pool: pool(x, mask).sum())(jnp.asarray(x))
        assert np.isfinite(gradient).all()
        assert not np.asarray(gradient)[~mask].any()


def test_the_largest_value_of_a_range_of_rows():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 11, 3), np.float32)
    first = rng.integers(0, 11, (2, 40))
    last = np.minimum(first + rng.integers(0, 7, (2, 40)), 10)
    for longest in (7, 11):
        found = range_max(jnp.asarray(x), jnp.asarray(first), jnp.asarray(last), longest)
        for b, k in np.ndindex(2, 40):
            expected = x[b, first[b, k] : last[b, k] + 1].max(0)
            np.testing.assert_array_equal(found[b, k], expected)


def test_the_gradient_of_a_range_goes_to_its_largest_value_once():
    x = jnp.array([[[1.0], [5.0], [2.0], [3.0]]])
    total = lambda x: range_max(x, jnp.array([[0, 2]]), jnp.array([[2, 3]]), 4).sum()  # noqa: E731
    assert jax.grad(total)(x).ravel().tolist() == [0, 1, 0, 1]


def test_the_mean_of_the_best_values_reads_as_many_as_there_are():
    x = jnp.array([[0.1, 0.9, 0.5, 7.0], [0.4, 7.0, 7.0, 7.0], [7.0, 7.0, 7.0, 7.0]])
    mask = jnp.array([[1, 1, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    np.testing.assert_allclose(top_mean(x, mask, 2, 2), [0.7, 0.4, 0.0], rtol=1e-6)
    np.testing.assert_allclose(top_mean(x, mask, jnp.array([1, 2, 3]), 9), [0.9, 0.4, 0], rtol=1e-6)
    each = top_mean(jnp.stack([x, 2 * x], axis=1), mask[:, None], jnp.array([[2], [1], [1]]), 2)
    np.testing.assert_allclose(each, [[0.7, 1.4], [0.4, 0.8], [0, 0]], rtol=1e-6)
    gradient = jax.grad(lambda x: top_mean(x, mask, 2, 2).sum())(x)
    np.testing.assert_allclose(gradient, [[0, 0.5, 0.5, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
