"""Moment mAP against the area under an interpolated curve in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.metrics.metric_cases import iou_slowly, percent, queries, ranked_slowly
from vmr_jax.metrics.average_precision import (
    LENGTH_RANGES,
    MAX_PREDICTIONS,
    THRESHOLDS,
    average_precision,
    length_metrics,
)

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*only NaN scores"),
    pytest.mark.filterwarnings("ignore:invalid value"),  # the length of a moment at infinity
]

QUERIES = st.lists(queries(predictions=MAX_PREDICTIONS + 2), min_size=1, max_size=3)


def average_precision_slowly(predictions, truths, threshold: Fraction) -> Fraction:
    """Greedy matches, then the area under the precision that no later recall exceeds."""
    free, curve, hits = list(range(len(truths))), [], 0
    for listed, row in enumerate(ranked_slowly(predictions[:MAX_PREDICTIONS]), 1):
        overlaps = [(iou_slowly(row[:2], truths[place]), place) for place in free]
        iou, place = max(overlaps, default=(Fraction(-1), 0))
        if iou >= threshold:
            free.remove(place)
            hits += 1
        curve.append((Fraction(hits, max(len(truths), 1)), Fraction(hits, listed)))
    area = before = Fraction(0)
    for place, (recall, _) in enumerate(curve):
        area += (recall - before) * max(precision for _, precision in curve[place:])
        before = recall
    return area


@settings(max_examples=100)
@given(QUERIES)
@example([([(1, 5, 2), (0, 4, 1)], [(0, 4), (2, 6)])])  # which of two equal truths is taken counts
def test_average_precision_is_that_of_a_plain_loop(asked):
    predictions, truths = zip(*asked, strict=True)
    expected = [
        [float(average_precision_slowly(*query, Fraction(str(m)))) for m in THRESHOLDS]
        for query in asked
    ]
    found = average_precision(predictions, truths)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=0)
    assert ((found >= 0) & (found <= 1)).all()
    np.testing.assert_array_equal(average_precision(predictions[::-1], truths[::-1]), found[::-1])


@settings(max_examples=100)
@given(QUERIES, st.integers(-30, 30))
def test_average_precision_does_not_depend_on_the_unit_of_time(asked, power):
    unit = np.array([2.0**power, 2.0**power, 1])
    predictions, truths = zip(*asked, strict=True)
    scaled = [np.reshape(rows, (-1, 3)) * unit for rows in predictions]
    windows = [np.reshape(moments, (-1, 2)) * unit[:2] for moments in truths]
    np.testing.assert_array_equal(
        average_precision(scaled, windows), average_precision(predictions, truths)
    )


@settings(max_examples=100)
@given(QUERIES)
def test_each_range_scores_its_own_truths(asked):
    report = length_metrics(*zip(*asked, strict=True))
    for name, (low, high) in LENGTH_RANGES.items():
        within = [
            (rows, [(s, e) for s, e in moments if low < e - s <= high]) for rows, moments in asked
        ]
        within = [query for query in within if query[1]]
        assert (name in report) == bool(within)
        if within:
            assert report[name]["queries"] == len(within)
            each = [
                average_precision_slowly(*q, Fraction(str(m))) for q in within for m in THRESHOLDS
            ]
            assert report[name]["mAP"] == pytest.approx(percent(each), rel=1e-12)
