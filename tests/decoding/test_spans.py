"""Start x end search: the golden table S1-S6, a float64 loop, padding, jit and vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.decoding.spans import list_spans, score_spans, search_spans

UP, DOWN = [0.7, 0.2, 0.1], [0.1, 0.2, 0.7]
ALL = [True, True, True]


def run(start, end, mask, shortest, longest, most):
    """The best spans by the product of both sides; (most, 3) of first, last, score."""
    arrays = jnp.array(start, jnp.float32), jnp.array(end, jnp.float32), jnp.array(mask)
    limits = {"most": most, "shortest": shortest, "longest": longest}
    return np.stack(search_spans(*arrays, **limits, combine="product", whole_if_short=True), -1)


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
def test_products_are_ranked_as_by_the_loop(limits):
    rng = np.random.default_rng(0)
    n, k = 9, 12
    clips = rng.integers(4, n + 1, 16)
    # Eighths: products are exact in float32, and ties are common.
    start, end = rng.integers(0, 9, (2, 16, n)) / 8
    mask = np.arange(n) < clips[:, None]
    search = jax.jit(jax.vmap(lambda s, e, m: search_spans(s, e, m, k, "product", *limits)))
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


def _listed(spans, row=0):
    """The valid spans of one row, in order."""
    first, last, valid = (np.asarray(x[row]) for x in (spans.first, spans.last, spans.valid))
    return list(zip(first[valid].tolist(), last[valid].tolist(), strict=True))


@pytest.mark.parametrize("limits", [(0, 2), (2, 4), (0, 30), (3, 3), (9, 12)])
def test_sums_are_ranked_as_by_the_loops(limits):
    rng = np.random.default_rng(0)
    start, end = rng.integers(0, 3, (2, 4, 3, 8)).astype(np.float32)  # with ties
    clips = rng.integers(0, 9, (4, 3))
    mask = np.arange(8) < clips[..., None]
    spans = search_spans(*map(jnp.asarray, (start, end, mask)), 5, "sum", *limits)
    for row in np.ndindex(4, 3):
        score = {
            (i, j): start[row][i] + end[row][j]
            for i in range(clips[row])
            for j in range(i, clips[row])
            if limits[0] <= j - i <= limits[1]
        }
        expected = sorted(score, key=lambda span: (-score[span], span))[:5]
        assert _listed(spans, row) == expected
        np.testing.assert_array_equal(
            spans.score[row][: len(expected)], [score[s] for s in expected]
        )
    invalid = ~np.asarray(spans.valid)
    assert invalid.any() and np.isneginf(np.asarray(spans.score)[invalid]).all()
    assert not any(np.asarray(x)[invalid].any() for x in spans[:2])


def test_no_gradient_goes_through_the_choice():
    def total(start):
        spans = search_spans(start, start, jnp.ones((1, 6), bool), most=2, longest=3)
        return jnp.sum(start[0, spans.first[0]]) + spans.score.sum()

    gradient = jax.grad(total)(jnp.arange(6.0)[None])
    assert gradient.sum() == 2 and set(np.asarray(gradient).ravel().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize(("shortest", "longest"), [(0, None), (1, 2), (2, 9), (5, 9)])
def test_all_spans_are_listed_and_scored_in_order(shortest, longest):
    rng = np.random.default_rng(0)
    start, end = rng.integers(0, 8, (2, 3, 5)) / 8
    mask = np.arange(5) < np.array([[5], [2], [0]])
    first, last = list_spans(5, shortest, longest)
    pairs = [(i, j) for i in range(5) for j in range(i + shortest, 5)]
    pairs = [pair for pair in pairs if pair[1] - pair[0] <= (longest or 5)]
    assert list(zip(first.tolist(), last.tolist(), strict=True)) == pairs
    added = rng.integers(0, 8, (3, len(pairs))) / 8
    for combine, rule in (("sum", np.add), ("product", np.multiply)):
        found = score_spans(
            jnp.float32(start),
            jnp.float32(end),
            jnp.array(mask),
            combine,
            shortest,
            longest,
            jnp.float32(added),
        )
        expected = rule(start[:, first], end[:, last]) + added
        np.testing.assert_array_equal(found, np.where(mask[:, last], expected, -np.inf))


def test_a_short_video_has_no_span_unless_the_whole_is_asked_for():
    logits, mask = jnp.ones((2, 4)), jnp.arange(4) < jnp.array([[2], [3]])
    for whole, expected in ((False, []), (True, [(0, 1)])):
        spans = search_spans(logits, logits, mask, 3, shortest=2, whole_if_short=whole)
        assert _listed(spans) == expected and _listed(spans, 1) == [(0, 2)]
