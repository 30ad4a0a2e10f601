"""The linear match: against a ridge that is solved directly, and what it finds where it must."""

import numpy as np
import pytest

from vmr_jax.metrics.linear_match import (
    PENALTIES,
    best_windows,
    fit,
    fit_scale,
    make_scale,
    ridge_path,
    unit,
    window_means,
    windows,
)

RNG = np.random.default_rng(5)


@pytest.mark.parametrize("shape", [(40, 7), (7, 40)], ids=["more examples", "more inputs"])
def test_the_ridge_solves_its_normal_equations(shape):
    inputs, targets = RNG.normal(size=shape), RNG.normal(size=(shape[0], 3))
    for penalty, weights in zip((0.1, 30.0), ridge_path(inputs, targets, (0.1, 30.0)), strict=True):
        gram = inputs.T @ inputs + penalty * np.eye(shape[1])
        np.testing.assert_allclose(weights, np.linalg.solve(gram, inputs.T @ targets), atol=1e-9)


def planted(count=300, width=12, noise=0.3):
    """Clips, queries that a linear map gives with noise, and that map."""
    weights = RNG.normal(size=(width, 5))
    clips = RNG.normal(size=(count, width))
    return clips, clips @ weights + noise * RNG.normal(size=(count, 5)), weights


def test_equal_clips_count_as_often_as_they_stand_there():
    clips, queries, _ = planted()
    clips = np.concatenate([clips, clips[:100], clips[:100]])
    queries = np.concatenate([queries, queries[100:200], queries[:100] + 1])
    scale = make_scale(np.zeros(12), np.ones(12), root=False)
    fitted = fit(scale, clips, queries)
    targets = (queries - queries.mean(0)) / queries.std(0)
    gram = clips.T @ clips + fitted.penalty * len(clips) * np.eye(12)
    direct = np.linalg.solve(gram, clips.T @ targets)
    np.testing.assert_allclose(fitted.weights, direct, atol=1e-5)
    np.testing.assert_allclose(fitted.map_clips(clips[:3]), clips[:3] @ direct, atol=1e-5)


def test_the_penalty_grows_with_the_noise():
    few, many = (
        fit(fit_scale(c), c, q).penalty for c, q, _ in (planted(noise=0.1), planted(60, 50, 20.0))
    )
    assert PENALTIES[0] <= few < many <= PENALTIES[-1]


def test_one_moment_alone_takes_the_largest_penalty():
    clips, queries, _ = planted(4)
    fitted = fit(fit_scale(clips), np.repeat(clips[:1], 4, axis=0), queries)
    assert fitted.penalty == PENALTIES[-1] and np.isfinite(fitted.weights).all()


def test_roots_are_taken_before_the_scaling():
    scale = make_scale(np.array([1.0, 2.0]), np.array([2.0, 0.0]), root=True)
    np.testing.assert_allclose(scale(np.array([[9.0, 16.0]])), [[1.0, 2.0]])


def test_windows_and_their_means():
    spans = windows(4, (2, 9, 2))
    assert spans.tolist() == [[0, 2], [1, 3], [2, 4], [0, 4]]
    rows = RNG.normal(size=(4, 3))
    means = [rows[a:b].mean(0) for a, b in spans]
    np.testing.assert_allclose(window_means(rows, spans), means)


def test_the_best_windows_leave_out_those_that_overlap_better_ones():
    spans = windows(6, (2, 4))
    scores = np.array([[0.1, 0.9, 0.2, 0.3, 0.5, 0.8, 0.7, 0.4]])
    which, score = best_windows(scores, spans, 4, nms=0.5)
    # [1, 3) is first; [0, 4), which holds it, has IoU 0.5, not more; [1, 5) and [2, 6) overlap it
    assert spans[which[0, :3]].tolist() == [[1, 3], [0, 4], [4, 6]]
    np.testing.assert_allclose(score[0], [0.9, 0.8, 0.5, 0.4])
    assert spans[which[0, 3]].tolist() == [2, 6]
    all_ranked = best_windows(scores, spans, 8, nms=1.0)[1]
    np.testing.assert_allclose(all_ranked[0], np.sort(scores[0])[::-1])


def test_unit_leaves_zeros():
    assert unit(np.array([[0.0, 0.0], [3.0, 4.0]])).tolist() == [[0, 0], [0.6, 0.8]]
