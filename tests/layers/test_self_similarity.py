import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import check_gradients
from vmr_jax.layers import self_similarity
from vmr_jax.layers.moment_map import moment_cells

edge_changes = functools.partial(jax.jit, static_argnums=2)(self_similarity.edge_changes)


def moment_similarities(video, *of):
    return jax.jit(lambda video: self_similarity.moment_similarities(video, *of))(video)


def _video(*shape):
    return np.random.default_rng(0).normal(size=shape) + 0.3


def _unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _mean_cosine(one, other):
    return (one @ other.T).mean() if len(one) and len(other) else 0.0


@pytest.mark.parametrize("width", [1, 3, 20])
def test_similarities_of_moments_are_means_of_cosines(width):
    video, cells = _video(2, 12, 7), moment_cells(6, (3, 1))
    first, end = cells.row * 2, (cells.column + 1) * 2
    found = moment_similarities(video, first, end, width)
    for b, rows in enumerate(_unit(video)):
        for p, (i, j) in enumerate(zip(first, end, strict=True)):
            inside, before, after = rows[i:j], rows[max(i - width, 0) : i], rows[j : j + width]
            head, tail = inside[:width], inside[-width:]
            pairs = (
                (inside, inside),
                (inside, before),
                (inside, after),
                (head, before),
                (tail, after),
                (head, tail),
            )
            expected = [_mean_cosine(*pair) for pair in pairs]
            np.testing.assert_allclose(found[b, p], expected, atol=2e-5)


def test_changes_at_edges_are_one_minus_the_cosine_of_both_sides():
    video, widths = _video(2, 9, 7), (1, 3)
    found = edge_changes(video, np.ones((2, 9), bool), widths)
    assert found.shape == (2, 9, 4)
    for b, rows in enumerate(_unit(video)):
        for i in range(9):
            for w, width in enumerate(widths):
                for side, edge in enumerate((i, i + 1)):
                    before, after = rows[max(edge - width, 0) : edge], rows[edge : edge + width]
                    same = 0.0
                    if len(before) and len(after):
                        same = _unit(before.sum(0)) @ _unit(after.sum(0))
                    np.testing.assert_allclose(found[b, i, 2 * w + side], 1 - same, atol=2e-5)


def test_padding_changes_no_edge():
    video, mask = _video(2, 9, 7), np.arange(9) < np.array([[6], [9]])
    found = edge_changes(np.where(mask[..., None], video, 0), mask, (2,))
    other = edge_changes(np.where(mask[..., None], video, 5), mask, (2,))
    np.testing.assert_array_equal(found, other)
    alone = edge_changes(video[:1, :6], mask[:1, :6], (2,))
    np.testing.assert_allclose(found[0, :6], alone[0], atol=1e-6)
    assert not found[0, 6:].any()


def test_a_cut_stands_out():
    scene = np.repeat(np.eye(3), 4, axis=0)
    changes = edge_changes(scene[None], np.ones((1, 12), bool), (2,))[0]
    np.testing.assert_allclose(changes[[4, 8], 0], 1, atol=1e-6)
    np.testing.assert_allclose(changes[[2, 6, 10], 0], 0, atol=1e-6)
    inside, _, _, before, after, _ = moment_similarities(
        scene[None], np.array([4, 3]), np.array([8, 8]), 2
    )[0].T
    assert inside[0] > inside[1] and before[0] < before[1]
    np.testing.assert_allclose([before[0], after[0]], 0, atol=1e-6)


def test_gradients():
    video, cells = jnp.float32(_video(1, 6, 4)), moment_cells(6, (3, 1))
    spans = cells.row, cells.column + 1
    near = {"atol": 1e-2, "rtol": 1e-2}
    check_gradients(lambda v: moment_similarities(v, *spans, 2), (video,), **near)
    mask = jnp.ones((1, 6), bool)
    check_gradients(lambda v: edge_changes(v, mask, (2,)), (video,), **near)
