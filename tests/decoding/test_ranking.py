"""Ranking in seconds, and temporal NMS: the golden table N1-N10, a float64 loop, jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.decoding.ranking import nms, rank_moments

A, B, C, D = (0.0, 10.0, 0.9), (0.0, 5.0, 0.8), (6.0, 10.0, 0.7), (0.0, 9.0, 0.6)
Z = (3.0, 3.0, 0.95)
B_NAN = (0.0, 5.0, np.nan)
D_TIE = (0.0, 9.0, 0.9)
PAD = (0.0, 0.0, -np.inf)


def _rank(**settings):
    clips, duration = jnp.array([8, 4]), jnp.array([16.0, 6.0])
    start = jnp.array([[0, 1, 4, 0], [0, 2, 2, 0]])
    end = jnp.array([[4, 4, 8, 0], [2, 4, 6, 0]])
    score = jnp.array([[0.2, 0.9, 0.5, -jnp.inf], [0.3, 0.2, 0.1, -jnp.inf]])
    block = {"top_k": 3, "nms": 1.0, "clip_to_duration": False} | settings
    ranked = rank_moments(start, end, score, clips, duration, ConfigDict(block))
    return jax.tree.map(np.asarray, ranked)


def test_spans_become_seconds_best_first():
    found = _rank()
    np.testing.assert_allclose(found.start, [[2, 8, 0], [0, 3, 3]])
    np.testing.assert_allclose(found.end, [[8, 16, 8], [3, 6, 9]])
    np.testing.assert_allclose(found.score, [[0.9, 0.5, 0.2], [0.3, 0.2, 0.1]])


def test_suppression_padding_and_clipping():
    found = _rank(nms=0.6, clip_to_duration=True)
    np.testing.assert_allclose(found.start[0, :2], [2, 8])  # 0 to 8 s overlaps 2 to 8 s by 0.75
    assert np.isneginf(found.score[0, 2])
    np.testing.assert_allclose(found.end[1], [3, 6, 0])
    assert (_rank(clip_to_duration=True).end[1] <= 6).all()


def suppress(candidates, threshold, k):
    """Call nms under jit on a list of (start, end, score)."""
    columns = jnp.asarray(np.reshape(candidates, (-1, 3)), jnp.float32).T
    kept = jax.jit(nms, static_argnums=4)(*columns, threshold, k)
    return np.stack(kept, axis=-1)


@pytest.mark.parametrize(
    ("name", "candidates", "threshold", "kept"),
    [
        ("N1", [A, B, C, D], 0.5, [A, B, C]),
        ("N2", [A, B, C, D], 0.45, [A, C]),
        ("N3", [A, B, C, D], 0.4, [A, C]),
        ("N4", [A, B, C, D], 0.39, [A]),
        ("N5", [A, B, C, D], 1.0, [A, B, C, D]),
        ("N6", [A, A], 0.5, [A]),
        ("N7", [Z, A], 0.5, [Z, A]),
        ("N8", [A, B_NAN, C, D], 0.5, [A, C, B_NAN]),
        ("N9", [], 0.5, []),
        ("N10", [A, D_TIE], 0.5, [A]),
        ("N10 reversed", [D_TIE, A], 0.5, [D_TIE]),
        ("given unsorted", [D, C, A, B], 0.5, [A, B, C]),
        ("padding within", [PAD, D, PAD, A, B_NAN], 0.5, [A, B_NAN]),
        ("+inf first", [A, (20.0, 30.0, np.inf)], 0.5, [(20.0, 30.0, np.inf), A]),
        ("NaN boundary", [(np.nan, 10.0, 1.0), A], 0.5, [(np.nan, 10.0, 1.0), A]),
        ("reversed moment", [(8.0, 4.0, 1.0), (8.0, 4.0, 0.9)], 0.0, [(8, 4, 1.0), (8, 4, 0.9)]),
    ],
)
def test_golden_suppressions(name, candidates, threshold, kept):
    expected = np.array(kept + [PAD] * (5 - len(kept)), np.float32)
    np.testing.assert_array_equal(suppress(candidates, threshold, 5), expected, err_msg=name)


def suppress_slowly(candidates, threshold, k):
    """The rule as a plain float64 loop (docs/metrics.md, NMS)."""
    ranked = sorted(
        (c for c in candidates if c[2] != -np.inf),
        key=lambda c: (np.isnan(c[2]), 0.0 if np.isnan(c[2]) else -c[2]),
    )
    kept = []
    while ranked and len(kept) < k:
        best = ranked.pop(0)
        kept.append(best)
        survivors = []
        for other in ranked:
            inter = max(0.0, min(best[1], other[1]) - max(best[0], other[0]))
            union = max(best[1], other[1]) - min(best[0], other[0])
            if (inter / union if inter > 0 else 0.0) <= threshold:
                survivors.append(other)
        ranked = survivors
    return kept + [PAD] * (k - len(kept))


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.45, 0.5, 1.0])
def test_suppression_equals_the_loop(threshold):
    rng = np.random.default_rng(0)
    # Dyadic numbers: float32 and float64 agree exactly; few levels give ties.
    ends = np.sort(rng.integers(0, 33, (20, 40, 2)), axis=-1) / 4
    score = rng.choice([-np.inf, np.nan, np.inf, -0.5, 0.0, 0.25, 0.5, 0.75], (20, 40, 1))
    candidates = np.concatenate([ends, score], axis=-1)
    columns = jnp.asarray(candidates, jnp.float32)
    many = jax.jit(jax.vmap(lambda c: nms(c[:, 0], c[:, 1], c[:, 2], threshold, 8)))
    kept = np.stack(many(columns), axis=-1)
    expected = [suppress_slowly([tuple(c) for c in row], threshold, 8) for row in candidates]
    np.testing.assert_array_equal(kept, np.array(expected, np.float32))


def test_padding_suppresses_nothing():
    np.testing.assert_array_equal(
        suppress([A, B, C, D], 0.45, 3), suppress([A, B, C, D] + [PAD] * 7, 0.45, 3)
    )


def test_k_cuts_the_list():
    np.testing.assert_array_equal(suppress([A, B, C, D], 1.0, 2), np.array([A, B], np.float32))
