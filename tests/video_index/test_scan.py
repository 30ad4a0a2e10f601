"""The exact scan of an index, in memory and by XLA, beside float64; the best span alone."""

import numpy as np
import pytest

from vmr_jax.video_index import scan
from vmr_jax.video_index.scan import ExactScan
from vmr_jax.zero_shot.moments import best_span, score_spans, smooth


@pytest.mark.parametrize("bytes_in_memory", [0, 2**30])
@pytest.mark.parametrize("count", [3, 100])
def test_the_best_videos_are_those_of_their_best_frames(monkeypatch, bytes_in_memory, count):
    monkeypatch.setattr(scan, "_WIDE", bytes_in_memory)
    rng = np.random.default_rng(0)
    frames = rng.integers(1, 9, size=40)
    begin = np.cumsum([0, *frames])
    rows = rng.normal(size=(begin[-1], 8)).astype(np.float16)
    rows[begin[7] : begin[8]] = rows[begin[5]]  # equal videos keep their order
    rows[begin[5] : begin[6]] = rows[begin[5]]
    vectors = rng.normal(size=(35, 8)).astype(np.float32)
    vectors[0] = rows[begin[5]]
    found = ExactScan(rows, begin).best_videos(vectors, count)
    assert list(found[0][:2]) == [5, 7]
    for vector, numbers in zip(vectors, found, strict=True):
        fit = rows.astype(float) @ vector
        best = np.array([fit[a:b].max() for a, b in zip(begin[:-1], begin[1:], strict=True)])
        assert len(set(numbers)) == min(count, 40)
        assert best[numbers] == pytest.approx(np.sort(best)[::-1][:count], abs=1e-5)


def test_an_empty_index_has_no_best_videos():
    empty = ExactScan(np.zeros((0, 8), np.float16), np.array([0]))
    assert [len(numbers) for numbers in empty.best_videos(np.ones((2, 8), np.float32), 5)] == [0, 0]


@pytest.mark.parametrize("frames", [1, 2, 3, 10, 57])
def test_the_best_span_is_the_first_of_all_scored_ones(frames):
    for seed in range(50):
        values = np.random.default_rng(seed).normal(size=frames)
        values = np.round(values) if seed % 2 else smooth(values)  # with and without equal scores
        spans, scores = score_spans(values)
        first = int(np.argmax(scores))
        assert best_span(values) == (*spans[first], scores[first])
    assert best_span(np.ones(frames)) == (0, frames, 0.0)
