"""DiDeMo's metric against a plain loop in exact fractions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.metrics.metric_cases import iou_slowly, percent, ranked_slowly
from vmr_jax.metrics.didemo import (
    MOMENTS,
    didemo_metrics,
    moment_frequency_prior,
    split_metrics,
)

COUNTING = {"official": 3, "any": 1}  # annotators, the best ones
SEGMENTS = [(int(first), int(last)) for first, last in MOMENTS]
MARKED = st.lists(st.sampled_from(SEGMENTS), min_size=1, max_size=5)


def seconds(segments) -> list[tuple[float, float]]:
    return [(5.0 * first, 5.0 * (last + 1)) for first, last in segments]


@st.composite
def rankings(draw) -> list[tuple]:
    """All moments in some order, with scores of which several are equal."""
    scores = draw(st.lists(st.integers(0, 9), min_size=len(SEGMENTS), max_size=len(SEGMENTS)))
    rows = draw(st.permutations(seconds(SEGMENTS)))
    return [(*row, score) for row, score in zip(rows, scores, strict=True)]


QUERIES = st.lists(st.tuples(rankings(), MARKED.map(seconds)), min_size=1, max_size=4)


@given(QUERIES, st.sampled_from(sorted(COUNTING)))
def test_ranks_and_iou_are_those_of_a_plain_loop(queries, rule):
    ranks, ious = [], []
    for rows, marked in queries:
        ranked = [row[:2] for row in ranked_slowly(rows)]
        counting = min(COUNTING[rule], len(marked))
        best = sorted(1 + ranked.index(moment) for moment in marked)[:counting]
        overlap = sorted((iou_slowly(ranked[0], moment) for moment in marked), reverse=True)
        ranks.append(sum(best) / counting)
        ious.append(sum(overlap[:counting]) / counting)
    expected = {
        "rank@1": percent([rank <= 1 for rank in ranks]),
        "rank@5": percent([rank <= 5 for rank in ranks]),
        "mIoU": percent(ious),
    }
    predictions, truths = zip(*queries, strict=True)
    found = didemo_metrics(predictions, truths, rule)
    assert found == pytest.approx(expected, rel=1e-12)
    assert didemo_metrics(predictions[::-1], truths[::-1], rule) == pytest.approx(found, rel=1e-12)
    both = split_metrics(predictions, truths, didemo=rule)
    assert found.items() <= both.items() and "R@1,IoU=0.5" in both


@given(QUERIES)
def test_the_best_annotator_counts_no_less_than_three(queries):
    official, best = (didemo_metrics(*zip(*queries, strict=True), rule) for rule in COUNTING)
    assert all(0 <= official[name] <= best[name] + 1e-9 <= 101 for name in official)


@given(st.lists(MARKED, min_size=1, max_size=8))
def test_the_prior_ranks_moments_by_how_often_they_were_marked(marked):
    every = [moment for moments in marked for moment in moments]
    prior = moment_frequency_prior([seconds(moments) for moments in marked])
    order = sorted(SEGMENTS, key=lambda moment: -every.count(moment))
    np.testing.assert_array_equal(prior[:, :2], seconds(order))
    shares = [every.count(moment) / len(every) for moment in order]
    np.testing.assert_allclose(prior[:, 2], shares, rtol=1e-12)
