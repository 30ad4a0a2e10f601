import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.first_parameters import init
from tests.gradients import check_gradients
from vmr_jax.layers.sequences import (
    ClipConvolution,
    dropout,
    l2_normalize,
    masked_max,
    masked_mean,
    masked_softmax,
    range_max,
    sinusoids,
    top_mean,
    unit_rows,
)

SHAPE = (64, 50, 40)


def test_padded_keys_change_nothing_and_no_key_gives_zero():
    scores = jnp.array([[1.0, 2.0, 50.0], [1.0, 2.0, 3.0]])
    weight = masked_softmax(scores, jnp.array([[True, True, False], [False, False, False]]))
    np.testing.assert_allclose(weight[0, :2], jax.nn.softmax(scores[0, :2]), rtol=1e-6)
    assert not np.asarray(weight[0, 2]) and not np.asarray(weight[1]).any()


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
        found = np.asarray(jax.jit(range_max, static_argnums=3)(x, first, last, longest))
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


def test_rows_have_length_one_and_zero_rows_stay_zero():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0], [1e-4, 0.0]])
    np.testing.assert_allclose(l2_normalize(x), [[0.6, 0.8], [0, 0], [1, 0]], rtol=1e-6)
    assert l2_normalize(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
    rough = x.astype(jnp.bfloat16)
    np.testing.assert_array_equal(unit_rows(rough), l2_normalize(rough.astype(jnp.float32)))
    assert unit_rows(rough).dtype == jnp.float32
    assert not unit_rows(x, 100.0).any()


def test_gradients_of_unit_vectors_are_right_and_zero_at_zero():
    check_gradients(l2_normalize, (np.array([[3.0, 4.0, -1.0]]),), atol=1e-2, rtol=1e-2)
    gradient = jax.grad(lambda x: l2_normalize(x).sum())(jnp.zeros((1, 3)))
    np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize("width", [6, 5])
def test_each_channel_is_a_wave_and_each_row_has_length_1(width):
    found = sinusoids(4, width)
    waves = np.array(
        [
            [
                (np.cos if c % 2 else np.sin)(n / 10000 ** (2 * (c // 2) / width))
                for c in range(width)
            ]
            for n in range(4)
        ]
    )
    expected = [row / np.sqrt((row**2).sum()) for row in waves]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32


@pytest.mark.parametrize("width", [1, 3, 5])
def test_a_convolution_is_a_correlation_with_zeros_beyond_the_ends(width):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 6), np.float32)
    layer = ClipConvolution(width, 2)
    params = init(layer, x)
    kernel = np.asarray(params["params"]["kernel"])
    assert kernel.shape == (width, 6, 2)
    bound = (width * 6) ** -0.5
    assert 0.5 * bound < np.abs(kernel).max() <= bound
    found = layer.apply(params, x)
    half = width // 2
    padded = np.pad(x, ((0, 0), (0, 0), (half, half), (0, 0)))
    for clip in range(4):
        expected = np.einsum("bckd,kdf->bcf", padded[:, :, clip : clip + width], kernel)
        np.testing.assert_allclose(found[:, :, clip], expected, rtol=1e-5, atol=1e-6)


def test_rate_scale_and_gradient_of_dropout():
    key = jax.random.key(3)
    out = np.asarray(dropout(key, jnp.ones(SHAPE), 0.1))
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.9)}
    assert abs((out == 0).mean() - 0.1) < 4 * (0.09 / out.size) ** 0.5
    gradient = jax.grad(lambda x: dropout(key, x, 0.1).sum())(jnp.ones(SHAPE))
    np.testing.assert_array_equal(gradient, out)


def test_without_a_key_or_a_rate_nothing_is_dropped():
    x = jnp.arange(6.0)
    np.testing.assert_array_equal(dropout(None, x, 0.5), x)
    np.testing.assert_array_equal(dropout(jax.random.key(0), x, 0.0), x)
