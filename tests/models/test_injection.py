"""VDI's losses against float64 loops, and what must not influence them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import check_gradients
from vmr_jax.models.vdi.losses import (
    REDUCTIONS,
    SAME_VIDEO,
    spatial_dynamic_loss,
    visual_context_loss,
)

OWNER = np.array([0, 0, 1, 2, 2, 2])
WEIGHT = np.array([1, 1, 1, 0, 1, 1], np.float32)


def _rows(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _cosine(one, two):
    one, two = one.astype(np.float64), two.astype(np.float64)
    return one @ two / np.sqrt((one @ one) * (two @ two))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_visual_context_is_the_squared_distance(reduction):
    query, context = _rows(6, 4), _rows(6, 4, seed=1)
    total, count = jax.jit(visual_context_loss, static_argnums=3)(query, context, WEIGHT, reduction)
    squares = [np.sum((q - c) ** 2) for q, c in zip(query, context.astype(np.float64), strict=True)]
    expected = sum(s for s, w in zip(squares, WEIGHT, strict=True) if w)
    np.testing.assert_allclose(total, expected / (4 if reduction == "mean" else 1), rtol=1e-5)
    assert count == 5


@pytest.mark.parametrize("same_video", SAME_VIDEO)
def test_spatial_dynamics_compare_the_cosines_of_all_pairs(same_video):
    video, query = _rows(3, 5), _rows(6, 4, seed=1)
    found = jax.jit(spatial_dynamic_loss, static_argnums=4)(video, query, OWNER, WEIGHT, same_video)
    total = pairs = 0
    for i in range(6):
        for j in range(6):
            if not (WEIGHT[i] and WEIGHT[j]):
                continue
            if same_video == "exclude" and i != j and OWNER[i] == OWNER[j]:
                continue
            pairs += 1
            of_videos = _cosine(video[OWNER[i]], video[OWNER[j]])
            total += (of_videos - _cosine(query[i], query[j])) ** 2
    np.testing.assert_allclose(found[0], total, rtol=1e-5)
    assert found[1] == pairs == (25 if same_video == "keep" else 21)


def test_golden_pair():
    video, query = np.ones((2, 3), np.float32), np.eye(2, dtype=np.float32)
    total, count = spatial_dynamic_loss(video, query, np.arange(2), np.ones(2, np.float32))
    assert total / count == pytest.approx(0.5) and count == 4


def test_what_does_not_count_changes_nothing():
    video, query, context = _rows(3, 5), _rows(6, 4), _rows(6, 4, seed=1)
    other = np.where(WEIGHT[:, None] > 0, query, 9.0)
    for loss in (
        lambda q: visual_context_loss(q, context, WEIGHT),
        lambda q: spatial_dynamic_loss(video, q, OWNER, WEIGHT),
    ):
        np.testing.assert_array_equal(loss(query), loss(other))
        gradient = jax.grad(lambda q, loss=loss: loss(q)[0])(jnp.asarray(other))
        assert not gradient[3].any() and gradient[WEIGHT > 0].any(axis=1).all()
    nothing = np.zeros(6, np.float32)
    assert visual_context_loss(query, context, nothing) == (0, 0)
    assert spatial_dynamic_loss(video, query, OWNER, nothing) == (0, 0)


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_gradients_of_visual_context(reduction):
    loss = lambda q, c: visual_context_loss(q, c, WEIGHT, reduction)[0]  # noqa: E731
    check_gradients(loss, (_rows(6, 4), _rows(6, 4, seed=1)), rtol=2e-2)


def test_gradients_of_spatial_dynamics():
    loss = jax.jit(lambda v, q: spatial_dynamic_loss(v, q, OWNER, WEIGHT)[0])
    check_gradients(loss, (_rows(3, 5), _rows(6, 4, seed=1)), rtol=2e-2)
    zero = jax.grad(loss, (0, 1))(jnp.zeros((3, 5)), jnp.zeros((6, 4)))
    assert all(np.isfinite(leaf).all() for leaf in zero)
