"""Generated moments, and slow references of metrics in exact fractions."""

import math
from fractions import Fraction

from hypothesis import strategies as st


def mostly(usual: st.SearchStrategy, odd: st.SearchStrategy) -> st.SearchStrategy:
    """Nine usual values in ten."""
    return st.integers(0, 9).flatmap(lambda chance: usual if chance else odd)


# Whole seconds, so that ties and thresholds are met exactly: IoUs are quotients of small numbers.
EDGES = st.integers(0, 8) | st.sampled_from([math.nan, math.inf])
PROPER = st.tuples(st.integers(0, 5), st.integers(1, 5)).map(lambda m: (m[0], m[0] + m[1]))
MOMENTS = mostly(PROPER, st.tuples(EDGES, EDGES))  # reversed, empty and endless ones too
SCORES = mostly(st.integers(0, 3), st.sampled_from([math.nan, math.inf, -math.inf]))


@st.composite
def queries(draw, least: int = 0, most: int = 4, predictions: int = 8) -> tuple[list, list]:
    """Rows of start, end, score, of which half are true moments, and the true moments."""
    truths = draw(st.lists(MOMENTS, min_size=least, max_size=most))
    listed = MOMENTS | st.sampled_from(truths) if truths else MOMENTS
    rows = st.tuples(listed, SCORES).map(lambda row: (*row[0], row[1]))
    return draw(st.lists(rows, max_size=predictions)), truths


def iou_slowly(one, other) -> Fraction:
    """IoU of two moments (start, end)."""
    if not all(math.isfinite(edge) for edge in (*one, *other)):
        return Fraction(0)
    (start, end), (first, last) = (map(Fraction, moment) for moment in (one, other))
    overlap = min(end, last) - max(start, first)
    return overlap / (max(end, last) - min(start, first)) if overlap > 0 else Fraction(0)


def ranked_slowly(rows: list[tuple]) -> list[tuple]:
    """Rows by their last number, the largest first; NaN is the least, and equals keep order."""
    return sorted(rows, key=lambda row: math.inf if math.isnan(row[-1]) else -row[-1])


def percent(values: list) -> float:
    """The mean of exact numbers, in percent."""
    return float(100 * sum(map(Fraction, values), Fraction(0)) / len(values))
