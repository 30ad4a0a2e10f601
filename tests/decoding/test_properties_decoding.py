"""NMS and the start x end search against slow searches, ties, masks and limits included.

Times and scores are small multiples of an eighth, which float32 adds, multiplies and compares
exactly; none is -0.0, which XLA's top_k puts after 0.0. Shapes are fixed, so that each function
compiles once.
"""

import functools
import itertools
import math
from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ml_collections import ConfigDict

from tests.decoding.corpus_moments_cases import rank_slowly
from tests.metrics.metric_cases import MOMENTS, SCORES, iou_slowly, mostly, ranked_slowly
from vmr_jax.decoding.corpus_moments import Readout, best_moments
from vmr_jax.decoding.ranking import nms, rank_moments
from vmr_jax.decoding.spans import list_spans, score_spans, search_spans

CANDIDATES, CLIPS, VIDEOS = 8, 6, 3
PAD = (0, 0, -math.inf)
ROWS = st.tuples(MOMENTS, SCORES).map(lambda row: (*row[0], row[1]))
LISTS = st.lists(ROWS, min_size=CANDIDATES, max_size=CANDIDATES)
THRESHOLDS = st.sampled_from(["0", "0.25", "0.3", "0.5", "1"])
EIGHTHS = st.integers(-8, 8).map(lambda number: number / 8)


def nms_slowly(rows: list[tuple], threshold: Fraction, k: int) -> list[tuple]:
    """Take the best row that overlaps none of those taken by more than the threshold."""
    kept = []
    for row in ranked_slowly([row for row in rows if row[2] != -math.inf]):
        if all(iou_slowly(row[:2], other[:2]) <= threshold for other in kept):
            kept.append(row)
    return (kept + [PAD] * k)[:k]


def suppress(rows: list[tuple], threshold: str, k: int) -> np.ndarray:
    """The rows (k, 3) that NMS keeps."""
    columns = jnp.array(np.array(rows, np.float32).T)
    return np.stack(jax.jit(nms, static_argnums=(3, 4))(*columns, float(threshold), k), axis=-1)


@pytest.mark.parametrize("k", [3, CANDIDATES + 1])
@given(rows=LISTS, threshold=THRESHOLDS)
def test_nms_keeps_what_a_greedy_loop_keeps(k, rows, threshold):
    expected = nms_slowly(rows, Fraction(threshold), k)
    np.testing.assert_array_equal(suppress(rows, threshold, k), np.array(expected, np.float32))


@given(LISTS, THRESHOLDS)
def test_what_nms_kept_is_kept_again(rows, threshold):
    once = suppress(rows, threshold, CANDIDATES + 1)
    again = suppress(once[:CANDIDATES], threshold, CANDIDATES + 1)
    np.testing.assert_array_equal(again, once)


@st.composite
def clip_spans(draw) -> list[tuple]:
    """Half-open spans of clips with scores."""
    edges = st.lists(st.integers(0, CLIPS), min_size=2, max_size=2, unique=True).map(sorted)
    row = st.tuples(edges, mostly(EIGHTHS, st.just(-math.inf)))
    rows = draw(st.lists(row, min_size=CANDIDATES, max_size=CANDIDATES))
    return [(*span, score) for span, score in rows]


LENGTHS = st.tuples(st.integers(1, CLIPS), st.sampled_from([0.25, 1.0, 2.0]))


@functools.partial(jax.jit, static_argnames="clip")
def rank(start, end, score, num_clips, duration, clip):
    settings = ConfigDict({"top_k": 4, "nms": 0.5, "clip_to_duration": clip})
    return rank_moments(start, end, score, num_clips, duration, settings)


@given(st.booleans(), st.tuples(clip_spans(), clip_spans()), st.tuples(LENGTHS, LENGTHS))
def test_moments_are_ranked_in_seconds(clip, pair, lengths):
    start, end, score = np.array(pair, np.float32).transpose(2, 0, 1)
    counts, seconds = np.array(lengths, np.float32).T
    edges = start.astype(np.int32), end.astype(np.int32)
    found = rank(*edges, score, counts.astype(np.int32), counts * seconds, clip=clip)
    kept = np.stack([found.start, found.end, found.score], axis=-1)
    for video, (rows, (count, length)) in enumerate(zip(pair, lengths, strict=True)):
        last = count * length if clip else math.inf
        timed = [(s * length, min(e * length, last), score) for s, e, score in rows]
        expected = nms_slowly(timed, Fraction(1, 2), 4)
        np.testing.assert_array_equal(kept[video], np.array(expected, np.float32))


@given(st.integers(1, 7), st.integers(0, 8), st.none() | st.integers(0, 8))
def test_spans_are_listed_by_first_and_last_clip(clips, shortest, longest):
    limit = clips if longest is None else longest
    expected = [(i, j) for i in range(clips) for j in range(i, clips) if shortest <= j - i <= limit]
    found = np.stack(list_spans(clips, shortest, longest), axis=-1)
    np.testing.assert_array_equal(found, np.reshape(expected, (-1, 2)))


VALUES = st.lists(EIGHTHS, min_size=CLIPS, max_size=CLIPS)
COMBINE = {"sum": lambda a, b: a + b, "product": lambda a, b: a * b}


def spans_slowly(start, end, count, combine, shortest, longest, whole) -> list[tuple]:
    """All allowed spans (first, last, score), best first; of equals in the order of clips."""
    pairs = itertools.combinations_with_replacement(range(count), 2)
    limit = CLIPS if longest is None else longest
    spans = [(i, j) for i, j in pairs if shortest <= j - i <= limit]
    if whole and 0 < count <= shortest:
        spans = [(0, count - 1)]
    scored = [(i, j, COMBINE[combine](start[i], end[j])) for i, j in spans]
    return sorted(scored, key=lambda span: -span[2])


@pytest.mark.parametrize(
    ("combine", "limits", "most", "whole"),
    [
        ("sum", (0, None), 30, False),
        ("product", (0, 2), 4, False),
        ("sum", (2, 3), 5, True),
        ("product", (3, 9), 9, True),
        ("sum", (1, 1), 3, False),
        ("sum", (7, 9), 2, True),
    ],
)
@given(start=VALUES, end=VALUES, count=st.integers(0, CLIPS))
@example(start=[0.0] * CLIPS, end=[0.0] * CLIPS, count=CLIPS)
def test_spans_are_those_of_a_search_of_all(combine, limits, most, whole, start, end, count):
    if combine == "product":  # of probabilities
        start, end = ([abs(value) for value in values] for values in (start, end))
    mask = np.arange(CLIPS) < count
    arrays = jnp.float32(jnp.array(start)), jnp.float32(jnp.array(end)), jnp.array(mask)
    shortest, longest = limits
    settings = {"combine": combine, "shortest": shortest, "longest": longest}
    found = search_spans(*arrays, most=most, whole_if_short=whole, **settings)
    expected = spans_slowly(start, end, count, *settings.values(), whole)
    padded = (expected + [PAD] * most)[:most]
    np.testing.assert_array_equal(np.stack(found, axis=-1), np.array(padded, np.float32))
    np.testing.assert_array_equal(found.valid, np.arange(most) < len(expected))
    allowed = spans_slowly(start, end, count, *settings.values(), False)
    scores = {(first, last): score for first, last, score in allowed}
    listed = zip(*list_spans(CLIPS, *limits), strict=True)
    wanted = [scores.get((int(first), int(last)), -math.inf) for first, last in listed]
    np.testing.assert_array_equal(score_spans(*arrays, **settings), wanted)


def of_videos(values: st.SearchStrategy) -> st.SearchStrategy:
    return st.lists(values, min_size=VIDEOS, max_size=VIDEOS).map(np.array)


@pytest.mark.parametrize("limits", [(0, 3), (2, 4), (6, 9)])
@given(
    start=of_videos(VALUES),
    end=of_videos(VALUES),
    counts=of_videos(st.integers(0, CLIPS)),
    scores=of_videos(EIGHTHS),
    cut=of_videos(st.sampled_from([0.0, 0.25, 1.0])),
)
def test_moments_of_a_corpus_are_those_of_a_search_of_all(limits, start, end, counts, scores, cut):
    settings = Readout(*limits, keep=20, clip_seconds=1.5, video_weight=0.5, temperature=0.25)
    mask = np.arange(CLIPS) < counts[:, None]
    durations = np.maximum(1.5 * counts - cut, 0)
    rows = np.array([7, 2, 5], np.int32)
    floats = [x.astype(np.float32) for x in (start, end, scores, durations)]
    arguments = floats[0], floats[1], mask, floats[2], rows, floats[3]
    found = best_moments(*(jnp.array(x)[None] for x in arguments), settings)
    expected = rank_slowly(start, end, mask, scores, rows, durations, settings)
    padded = expected + [(-1, 0, 0, -math.inf)] * (20 - len(expected))
    got = (found.video, found.start, found.end, found.score)
    np.testing.assert_array_equal(np.stack([x[0] for x in got], axis=-1), padded)
