"""VR, SVMR and VCMR against plain loops in exact fractions."""

import math
from fractions import Fraction

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.metrics.metric_cases import iou_slowly, percent, queries
from vmr_jax.metrics.retrieval import RANKS, THRESHOLDS, corpus_metrics

pytestmark = pytest.mark.filterwarnings("ignore:.*only NaN scores")

VIDEOS = 4


@st.composite
def corpus_queries(draw):
    """Rows of video, start, end, score; the true video, and the true moments in it."""
    rows, truths = draw(queries(least=1, most=5, predictions=12))
    videos = draw(st.lists(st.integers(-1, VIDEOS - 1), min_size=len(rows), max_size=len(rows)))
    video = draw(st.integers(0, VIDEOS - 1))
    return [(v, *row) for v, row in zip(videos, rows, strict=True)], video, truths


QUERIES = st.lists(corpus_queries(), min_size=1, max_size=3)


def listed_slowly(rows: list[tuple]) -> list[tuple]:
    """The rows as they are listed, those without a score last."""
    scored = [row for row in rows if row[3] > -math.inf]
    return scored + [row for row in rows if not row[3] > -math.inf]


def agreed_slowly(row: tuple, truths: list[tuple]) -> Fraction:
    """The largest IoU, or the second largest where four annotators or more must agree."""
    ious = sorted((iou_slowly(row[1:3], truth) for truth in truths), reverse=True)
    return ious[1] if len(truths) >= 4 else ious[0]


def recall(found: list[list[bool]], name: str) -> dict[str, float]:
    """The share of queries of which one of the first K is right."""
    return {name.format(k): percent([any(right[:k]) for right in found]) for k in RANKS}


def metrics_slowly(asked) -> dict[str, float]:
    listed = [(listed_slowly(rows), video, truths) for rows, video, truths in asked]
    different = [list(dict.fromkeys(row[0] for row in rows if row[0] >= 0)) for rows, *_ in listed]
    videos = [[v == query[1] for v in found] for found, query in zip(different, asked, strict=True)]
    metrics = recall(videos, "VR/R@{}")
    metrics["VR/SumR"] = sum(metrics.values())
    for p in THRESHOLDS:
        least, single, corpus = Fraction(str(p)), [], []
        for rows, video, truths in listed:
            right = [(row[0] == video, agreed_slowly(row, truths) >= least) for row in rows]
            single.append([reached for there, reached in right if there])
            corpus.append([there and reached for there, reached in right])
        metrics |= recall(single, f"SVMR/R@{{}},IoU={p:g}")
        metrics |= recall(corpus, f"VCMR/R@{{}},IoU={p:g}")
    return metrics


def metrics_of(asked) -> dict[str, float]:
    rows, videos, truths = zip(*asked, strict=True)
    return corpus_metrics({"VR": rows, "SVMR": rows, "VCMR": rows}, videos, truths)


@settings(max_examples=100)
@given(QUERIES)
@example([([(-1, 0, 1, 1), (2, 0, 1, 1)], 2, [(0, 1)])])  # what is no video has no place
def test_metrics_of_a_corpus_are_those_of_a_plain_loop(asked):
    found = metrics_of(asked)
    assert found == pytest.approx(metrics_slowly(asked), rel=1e-12)
    assert all(0 <= value <= 100 for name, value in found.items() if name != "VR/SumR")
    for p in THRESHOLDS:
        for k in RANKS:
            name = f"R@{k},IoU={p:g}"
            assert found[f"VCMR/{name}"] <= found[f"SVMR/{name}"]


@settings(max_examples=100)
@given(QUERIES, st.integers(-30, 30), st.permutations(range(VIDEOS)))
def test_neither_order_nor_unit_nor_numbers_of_videos_count(asked, power, numbers):
    unit = 2.0**power

    def other(rows, video, truths):
        renamed = [(numbers[v] if v >= 0 else v, s * unit, e * unit, x) for v, s, e, x in rows]
        return renamed, numbers[video], [(start * unit, end * unit) for start, end in truths]

    changed = [other(*query) for query in asked[::-1]]
    assert metrics_of(changed) == pytest.approx(metrics_of(asked), rel=1e-12)
