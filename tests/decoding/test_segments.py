import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.decoding.segments import best_segments, overlapping_segments


def _listed(segments, row=0):
    """The valid segments of one row, in order."""
    first, last, valid = (np.asarray(x[row]) for x in segments)
    return list(zip(first[valid].tolist(), last[valid].tolist(), strict=True))


def _near(span, clips):
    """Segments of IoU above 0.7 and their IoUs, by counting clips."""
    truth, found = set(range(span[0], span[1] + 1)), {}
    for i in range(clips):
        for j in range(i, clips):
            segment = set(range(i, j + 1))
            inter, union = len(segment & truth), len(segment | truth)
            if 10 * inter > 7 * union:
                found[i, j] = inter / union
    return found


def test_the_specifications_positives():
    found = _listed(overlapping_segments(jnp.array([[5, 14]]), jnp.array([20]), 20, 64))
    assert found[0] == (5, 14)
    assert (5, 12) in found and (4, 15) in found and (5, 11) not in found


@pytest.mark.parametrize("most", [3, 64, 1000])
def test_positives_are_the_best_of_the_loops(most):
    spans, clips = [[0, 0], [3, 9], [0, 11], [11, 11]], [5, 10, 12, 12]
    segments = overlapping_segments(jnp.array(spans), jnp.array(clips), 12, most)
    assert segments.first.shape == (4, min(most, 144))
    for row, (span, count) in enumerate(zip(spans, clips, strict=True)):
        expected = sorted(_near(span, count).items(), key=lambda item: (-item[1], item[0]))
        assert _listed(segments, row) == [segment for segment, _ in expected[:most]]
    assert _listed(segments, 0) == [(0, 0)]  # the truth itself (PREM P16)
    invalid = ~np.asarray(segments.valid)
    assert not any(np.asarray(x)[invalid].any() for x in segments[:2])


@pytest.mark.parametrize("limits", [(0, 2), (2, 4), (0, 30), (3, 3), (9, 12)])
def test_the_best_segments_are_the_best_of_the_loops(limits):
    rng = np.random.default_rng(0)
    start, end = rng.integers(0, 3, (2, 4, 3, 8)).astype(np.float32)  # with ties
    clips = rng.integers(0, 9, (4, 3))
    mask = np.arange(8) < clips[..., None]
    found, segments = best_segments(*map(jnp.asarray, (start, end, mask)), *limits, 5)
    for row in np.ndindex(4, 3):
        score = {
            (i, j): start[row][i] + end[row][j]
            for i in range(clips[row])
            for j in range(i, clips[row])
            if limits[0] <= j - i <= limits[1]
        }
        expected = sorted(score, key=lambda segment: (-score[segment], segment))[:5]
        assert _listed(segments, row) == expected
        np.testing.assert_array_equal(found[row][: len(expected)], [score[s] for s in expected])
    invalid = ~np.asarray(segments.valid)
    assert invalid.any() and np.isneginf(np.asarray(found)[invalid]).all()
    assert not any(np.asarray(x)[invalid].any() for x in segments[:2])


def test_no_gradient_goes_through_the_choice():
    def total(start):
        score, segments = best_segments(start, start, jnp.ones((1, 6), bool), 0, 3, 2)
        return jnp.sum(start[0, segments.first[0]]) + score.sum()

    gradient = jax.grad(total)(jnp.arange(6.0)[None])
    assert gradient.sum() == 2 and set(np.asarray(gradient).ravel().tolist()) == {0.0, 1.0}
