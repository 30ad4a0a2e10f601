import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.gradients import check_gradients
from vmr_jax.losses import mmd as module
from vmr_jax.losses.mmd import (
    Sample,
    make_sample,
    median_squared_distance,
    mmd,
    sample_mmd,
    subsample,
)

_mmd = jax.jit(mmd, static_argnums=(4, 5))
_median = jax.jit(median_squared_distance)


def _points(n, seed=0, shift=0.0, dim=5):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, dim)) + shift).astype(np.float32)


def _distance(a, b):
    return ((a[:, None].astype(np.float64) - b[None]) ** 2).sum(-1)


def _literal(x, y, kernel, gamma=1.0):
    """Eq. 7 in float64 over unweighted points."""
    both = np.concatenate([x, y]).astype(np.float64)
    m = max(np.median(_distance(both, both)[~np.eye(len(both), dtype=bool)]), 1e-6)
    rates = {
        "fixed": [gamma],
        "median_single": [1 / m],
        "median_multi": [1 / (c * m) for c in (0.25, 0.5, 1, 2, 4)],
    }[kernel]

    def mean(a, b):
        return np.mean([np.exp(-rate * _distance(a, b)) for rate in rates])

    return mean(x, x) + mean(y, y) - 2 * mean(x, y)


def test_golden_values():
    one = jnp.ones(1)
    value = _mmd(jnp.zeros((1, 1)), jnp.ones((1, 1)), one, one, "fixed", 1.0)
    np.testing.assert_allclose(value, 1.2642411, atol=1e-6)
    x, y, two = jnp.array([[0.0], [1.0]]), jnp.array([[2.0], [3.0]]), jnp.ones(2)
    assert _median(np.concatenate([x, y]), jnp.ones(4, bool)) == 2.5
    np.testing.assert_allclose(_mmd(x, y, two, two), 0.9717236, atol=1e-6)


@pytest.mark.parametrize("kernel", module.KERNELS)
def test_identical_samples_give_zero(kernel):
    x = _points(9)
    assert abs(_mmd(x, x[::-1], jnp.ones(9), jnp.ones(9), kernel)) < 1e-6


@pytest.mark.parametrize("kernel", module.KERNELS)
def test_equals_the_literal_sum_and_ignores_points_of_weight_zero(kernel):
    x, y = _points(8), _points(11, 1, 0.7)
    expected = _literal(x, y, kernel, 0.3)
    value = _mmd(x, y, jnp.ones(8), jnp.ones(11), kernel, 0.3)
    np.testing.assert_allclose(value, expected, atol=2e-6)
    more = np.concatenate([x, 100 + _points(3, 2)])
    weight = jnp.array([1.0] * 8 + [0.0] * 3)
    value = _mmd(more, y, weight, jnp.ones(11), kernel, 0.3)
    np.testing.assert_allclose(value, expected, atol=2e-6)


def test_weights_count_a_point_as_often():
    x, y = _points(4), _points(5, 1)
    twice = np.concatenate([x, x[:1]])
    value = _mmd(x, y, jnp.array([2.0, 1, 1, 1]), jnp.ones(5), "fixed")
    np.testing.assert_allclose(value, _literal(twice, y, "fixed"), atol=2e-6)


def test_an_empty_sample_gives_zero():
    x, y = _points(4), _points(5, 1)
    value, gradient = jax.jit(jax.value_and_grad(mmd))(x, y, jnp.zeros(4), jnp.ones(5))
    assert value == 0 and np.isfinite(gradient).all()


@pytest.mark.parametrize("n", [2, 3, 6, 7])
def test_median_is_exact(n):
    for seed in range(5):
        points = _points(n, seed)
        expected = np.median(_distance(points, points)[~np.eye(n, dtype=bool)])
        value = _median(points, jnp.ones(n, bool))
        np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_median_of_equal_points_has_its_floor():
    x = jnp.ones((3, 2))
    assert _median(x, jnp.ones(3, bool)) == 0
    assert abs(_mmd(x, x, jnp.ones(3), jnp.ones(3))) < 1e-6


def test_tiles_change_nothing(monkeypatch):
    x, y = _points(9), _points(14, 1, 0.5)
    weights = jnp.ones(9), jnp.array([1.0] * 12 + [0.0] * 2)
    run = lambda: jax.jit(lambda *x: jax.value_and_grad(mmd)(*x))(x, y, *weights)  # noqa: E731
    whole = run()
    monkeypatch.setattr(module, "TILE", 4)
    tiled = run()
    np.testing.assert_allclose(tiled[0], whole[0], atol=1e-6)
    np.testing.assert_allclose(tiled[1], whole[1], atol=1e-6)


def test_a_large_sample_never_makes_the_full_matrix():
    n = 8192
    x, weight = jax.ShapeDtypeStruct((n, 16), jnp.float32), jax.ShapeDtypeStruct((n,), jnp.float32)
    compiled = jax.jit(jax.value_and_grad(mmd)).lower(x, x, weight, weight).compile()
    memory = compiled.memory_analysis().temp_size_in_bytes
    assert memory < 4 * (2 * n) ** 2 / 8, f"{memory} bytes"


@pytest.mark.parametrize("kernel", ["fixed", "median_multi"])
def test_gradients(kernel, monkeypatch):
    x, y = _points(5, dim=3), _points(6, 1, 0.5, dim=3)
    if kernel != "fixed":  # the bandwidth carries no gradient: hold it for the numeric one
        monkeypatch.setattr(module, "median_squared_distance", lambda *_: jnp.float32(3.0))
    check_gradients(
        lambda x, y: 10 * mmd(x, y, jnp.ones(5), jnp.ones(6), kernel, 0.5),
        (x, y),
        atol=1e-2,
        rtol=1e-2,
    )


def test_subsample_draws_valid_rows_without_repeats():
    rows = jnp.arange(20.0)[:, None]
    weight = (jnp.arange(20) % 2 == 0).astype(jnp.float32)
    drawn, drawn_weight = subsample(jax.random.key(0), rows, weight, 6)
    values = np.asarray(drawn[:, 0])
    assert len(set(values)) == 6 and (values % 2 == 0).all() and (drawn_weight == 1).all()
    drawn, drawn_weight = subsample(jax.random.key(1), rows, weight, 15)
    assert sorted(np.asarray(drawn[:, 0])[np.asarray(drawn_weight) > 0]) == list(range(0, 20, 2))


def test_a_sample_is_pooled_or_drawn_as_the_settings_say():
    rows = _points(6).reshape(2, 3, 5)
    mask, weight = np.array([[1, 1, 0], [1, 1, 1]], bool), jnp.array([1.0, 0.0])
    settings = ConfigDict({"samples": "mean", "elements": 4, "kernel": "fixed", "gamma": 0.5})
    key = jax.random.key(0)
    points, weights = make_sample(settings, rows, mask, weight, key)
    np.testing.assert_allclose(points[0], rows[0, :2].mean(0), rtol=1e-6)
    assert weights.tolist() == [1, 0]
    settings.samples = "max"
    np.testing.assert_array_equal(
        make_sample(settings, rows, mask, weight, key)[0][1], rows[1].max(0)
    )
    settings.samples = "elements"
    points, weights = make_sample(settings, rows, mask, weight, key)
    drawn = {tuple(row) for row in np.asarray(points)[np.asarray(weights) > 0].tolist()}
    assert points.shape == (4, 5) and drawn == {tuple(row) for row in rows[0, :2].tolist()}
    x, y = (Sample(_points(4, seed), jnp.ones(4)) for seed in (1, 2))
    expected = mmd(x.points, y.points, jnp.ones(4), jnp.ones(4), "fixed", 0.5)
    assert sample_mmd(settings, x, y) == expected
