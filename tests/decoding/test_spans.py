"""Start x end search: the golden table S1-S6, a float64 loop, padding, jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.decoding.spans import search_spans

UP, DOWN = [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]
ALL = [True, True, True]


def run(start, end, mask, min_len, max_len, k):
    """Call search_spans under jit; (k, 3) of first, last, score."""
    arrays = jnp.array(start, jnp.float32), jnp.array(end, jnp.float32), jnp.array(mask)
    return np.stack(jax.jit(search_spans, static_argnums=5)(*arrays, min_len, max_len, k), -1)


@pytest.mark.parametrize(
    ("name", "start", "end", "mask", "limits", "spans", "score"),
    [
        ("S1", UP, DOWN, ALL, (0, 2), [(0, 2)], 0.49),
        ("S2", UP, DOWN, ALL, (0, 1), [(0, 1), (1, 2)], 0.14),
        ("S3", DOWN, UP, ALL, (0, 2), [(0, 0), (2, 2)], 0.07),
        ("S4", [1.0], [1.0], [True], (0, 23), [(0, 0)], 1.0),
        ("S5", [7 / 9, 2 / 9, 9], [1 / 3, 2 / 3, 9], [1, 1, 0], (0, 2), [(0, 1)], 14 / 27),
        ("S6", [0.6, 0.4], [0.3, 0.7], [True, True], (3, 5), [(0, 1)], 0.42),
        ("S6 padded", [0.6, 0.4, 9], [0.3, 0.7, 9], [1, 1, 0], (3, 5), [(0, 1)], 0.42),
    ],
)
def test_golden(name, start, end, mask, limits, spans, score):
    found = run(start, end, np.array(mask, bool), *limits, len(spans))
    np.testing.assert_array_equal(found[:, :2], spans, err_msg=name)
    np.testing.assert_allclose(found[:, 2], score, rtol=1e-6, err_msg=name)


def test_short_list_is_padded():
    found = run([0.6, 0.4], [0.3, 0.7], [True, True], 3, 5, 3)
    np.testing.assert_allclose(found, [(0, 1, 0.42), (0, 0, -np.inf), (0, 0, -np.inf)], rtol=1e-6)


def test_video_without_clips():
    found = run(UP, DOWN, [False] * 3, 0, 2, 2)
    np.testing.assert_array_equal(found, [(0, 0, -np.inf)] * 2)


@pytest.mark.parametrize("limits", [(0, 9), (1, 3), (2, 2)])
def test_equals_the_loop(limits):
    rng = np.random.default_rng(0)
    n, k = 9, 12
    clips = rng.integers(4, n + 1, 16)
    # Eighths: products are exact in float32, and ties are common.
    start, end = rng.integers(0, 9, (2, 16, n)) / 8
    mask = np.arange(n) < clips[:, None]
    search = jax.jit(jax.vmap(lambda s, e, m: search_spans(s, e, m, *limits, k)))
    found = np.stack(search(jnp.float32(start), jnp.float32(end), mask), -1)
    for row in range(16):
        spans = [
            (i, j, start[row, i] * end[row, j])
            for i in range(clips[row])
            for j in range(i, clips[row])
            if limits[0] <= j - i <= limits[1]
        ]
        expected = sorted(spans, key=lambda span: -span[2])[:k]
        expected += [(0, 0, -np.inf)] * (k - len(expected))
        np.testing.assert_array_equal(found[row], expected)
