import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.first_parameters import init
from tests.gradients import check_gradients
from vmr_jax.models.vlanet.dense_attention import Alignment, dense_attention

IDENTITY = {"first": jnp.eye(2), "second": jnp.eye(2)}


def _random(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_the_worked_example():
    x = jnp.array([[[1.0, 0.0], [0.0, 1.0]]])
    y = jnp.array([[[1.0, 0.0]]])
    energy = Alignment(2).apply({"params": IDENTITY}, x, y, jnp.ones((1, 1), bool))
    np.testing.assert_allclose(energy, [[0.7615942, 0]], atol=1e-7)
    rows, weight = dense_attention(x, energy, jnp.ones((1, 2), bool))
    np.testing.assert_allclose(weight, [[0.6816997, 0.3183003]], atol=1e-7)
    np.testing.assert_allclose(rows, [[[0.6816997, 0], [0, 0.3183003]]], atol=1e-7)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize(("n", "m"), [(3, 5), (5, 3)])
def test_the_alignment_function_is_its_formula(reduce, n, m):
    x, y = _random((2, n, 4)), _random((2, m, 4), 1)
    y_mask = np.arange(m) < np.array([m, 2])[:, None]
    module = Alignment(4, reduce)
    params = init(module, x, y, y_mask)["params"]
    found = jax.jit(module.apply)({"params": params}, x, y, y_mask)
    first, second = (np.asarray(params[k], np.float64) for k in ("first", "second"))
    for b, i in np.ndindex(2, n):
        terms = [np.tanh((x[b, i] @ first) @ (y[b, j] @ second)) for j in range(m) if y_mask[b, j]]
        np.testing.assert_allclose(found[b, i], getattr(np, reduce)(terms), rtol=2e-5, atol=1e-6)


def test_weights_sum_to_one_over_the_real_rows_and_padding_is_zero():
    x, energy = _random((3, 4, 2)), _random((3, 4), 1)
    mask = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [0, 0, 0, 0]], bool)
    rows, weight = dense_attention(jnp.asarray(x), jnp.asarray(energy), mask)
    assert rows.shape == x.shape
    np.testing.assert_allclose(weight.sum(-1), [1, 1, 0], rtol=1e-6)
    assert not np.asarray(rows)[~mask].any() and not np.asarray(weight)[~mask].any()
    np.testing.assert_array_equal(rows[1, 0], x[1, 0])  # one row: the identity
    _, scaled = dense_attention(jnp.asarray(x), jnp.asarray(energy), mask, rescale=True)
    np.testing.assert_allclose(scaled.sum(-1), [4, 1, 0], rtol=1e-6)


def test_gradients():
    mask = np.array([[1, 1, 0], [1, 1, 1]], bool)
    y_mask = np.array([[1, 0], [1, 1]], bool)
    module = Alignment(3)
    x, y = _random((2, 3, 3)), _random((2, 2, 3), 1)
    params = init(module, x, y, y_mask)

    def attended(params, x, y):
        return dense_attention(x, module.apply(params, x, y, y_mask), mask)[0]

    check_gradients(attended, (params, x, y), atol=1e-2, rtol=1e-2)
