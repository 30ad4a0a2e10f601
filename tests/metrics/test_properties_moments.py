"""IoU, R@n, mIoU and dR@n against exact fractions, and what must not change them."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.metrics.metric_cases import MOMENTS, iou_slowly, percent, queries, ranked_slowly
from vmr_jax.metrics.moments import THRESHOLDS, has_valid_truth, moment_metrics, temporal_iou

pytestmark = pytest.mark.filterwarnings("ignore:.*only NaN scores")

FLOATS = st.floats(-1e300, 1e300)
PAIRS = st.tuples(FLOATS, FLOATS)
QUERIES = st.lists(queries(), min_size=1, max_size=4)
RANKS = (1, 2, 5)


def metrics_of(asked, durations=None, **settings):
    predictions, truths = zip(*asked, strict=True)
    return moment_metrics(predictions, truths, durations, ranks=RANKS, **settings)


def scaled(asked, factor: float):
    return [
        (
            [(start * factor, end * factor, score) for start, end, score in predictions],
            [(start * factor, end * factor) for start, end in truths],
        )
        for predictions, truths in asked
    ]


@given(PAIRS, PAIRS)
def test_iou_is_the_exact_quotient_but_for_rounding(one, other):
    exact = iou_slowly(one, other)
    least = Fraction(1, 2**1074)  # of the numbers above 0
    error = abs(Fraction(float(temporal_iou(one, other))) - exact)
    assert error <= exact * Fraction(4, 2**53) + least


@given(PAIRS | MOMENTS, PAIRS | MOMENTS)
def test_iou_is_symmetric_and_bounded(one, other):
    iou = temporal_iou(one, other)
    assert iou == temporal_iou(other, one) and 0 <= iou <= 1
    proper = all(map(math.isfinite, one)) and one[0] < one[1]
    assert temporal_iou(one, one) == proper
    assert has_valid_truth([[one]]) == proper


@given(PAIRS, PAIRS, st.integers(-20, 20))
def test_iou_does_not_depend_on_the_unit_of_time(one, other, power):
    one, other = (np.array(moment) * 2.0**-40 for moment in (one, other))
    scaled_iou = temporal_iou(one * 2.0**power, other * 2.0**power)
    small = np.abs([*one, *other])
    if small[small > 0].min(initial=1) > 1e-290:  # no edge becomes a subnormal number
        assert scaled_iou == temporal_iou(one, other)


@settings(max_examples=100)
@given(QUERIES, st.sampled_from(["ge", "gt"]), st.booleans())
def test_recall_and_miou_are_those_of_a_plain_loop(asked, iou_cmp, drop):
    valid = [any(iou_slowly(truth, truth) for truth in truths) for _, truths in asked]
    scored = [query for query, ok in zip(asked, valid, strict=True) if ok or not drop]
    settings = {"iou_cmp": iou_cmp, "drop_invalid_gt": drop}
    if not scored:
        with pytest.raises(ValueError, match="no query to score"):
            metrics_of(asked, **settings)
        return
    best = [
        [max((iou_slowly(row[:2], truth) for truth in truths), default=0) for row in ranked]
        for ranked, truths in ((ranked_slowly(rows), truths) for rows, truths in scored)
    ]
    expected = {"mIoU": percent([ious[0] if ious else 0 for ious in best])}
    for n in RANKS:
        for m in THRESHOLDS:
            least = Fraction(str(m))
            hits = [
                any(iou >= least if iou_cmp == "ge" else iou > least for iou in ious[:n])
                for ious in best
            ]
            expected[f"R@{n},IoU={m:g}"] = percent(hits)
    assert metrics_of(asked, **settings) == pytest.approx(expected, rel=1e-12)


@settings(max_examples=100)
@given(QUERIES, st.data())
def test_discounted_recall_is_that_of_a_plain_loop(asked, data):
    lengths = st.lists(st.integers(1, 20), min_size=len(asked), max_size=len(asked))
    durations = data.draw(lengths)
    found = metrics_of(asked, durations, discounted=True)

    def credit(row, truth, duration, least):
        if iou_slowly(row[:2], truth) < least:
            return Fraction(0)
        away = (abs(Fraction(a) - Fraction(b)) for a, b in zip(row, truth, strict=False))
        return math.prod(max(1 - edge / duration, Fraction(0)) for edge in away)

    for n in RANKS:
        for m in THRESHOLDS:
            best = [
                max(
                    (
                        credit(row, truth, duration, Fraction(str(m)))
                        for row in ranked_slowly(rows)[:n]
                        for truth in truths
                    ),
                    default=0,
                )
                for (rows, truths), duration in zip(asked, durations, strict=True)
            ]
            assert found[f"dR@{n},IoU={m:g}"] == pytest.approx(percent(best), rel=1e-12)


@settings(max_examples=100)
@given(QUERIES, st.randoms(), st.integers(-30, 30))
def test_metrics_know_neither_the_order_of_queries_nor_the_unit_of_time(asked, random, power):
    durations = [float(10 + place) for place in range(len(asked))]
    found = metrics_of(asked, durations, discounted=True)
    order = list(range(len(asked)))
    random.shuffle(order)
    others = scaled([asked[place] for place in order], 2.0**power)
    seconds = [durations[place] * 2.0**power for place in order]
    assert metrics_of(others, seconds, discounted=True) == pytest.approx(found, rel=1e-12)


@settings(max_examples=100)
@given(QUERIES)
def test_metrics_are_bounded_and_monotone(asked):
    found = metrics_of(asked, [9.0] * len(asked), discounted=True)
    assert all(0 <= value <= 100 for value in found.values())
    for n, more in zip(RANKS, RANKS[1:], strict=False):
        for m in THRESHOLDS:
            assert found[f"R@{n},IoU={m:g}"] <= found[f"R@{more},IoU={m:g}"]
    for n in RANKS:
        values = [found[f"R@{n},IoU={m:g}"] for m in THRESHOLDS]
        assert values == sorted(values, reverse=True)
        assert all(found[f"dR@{n},IoU={m:g}"] <= found[f"R@{n},IoU={m:g}"] for m in THRESHOLDS)
