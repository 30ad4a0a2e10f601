import csv
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.layers.clip_spans import (
    pool_proposals,
    proposal_grid,
    proposal_spans,
    spans_to_seconds,
)

ACTIVITYNET = (8, 16, 32, 64, 128)
CHARADES = (8, 12, 20, 32, 64)


def _spans(grid, *num_clips):
    return [np.asarray(part) for part in proposal_spans(grid, np.array(num_clips), np)]


def _valid(grid, num_clips):
    start, end, valid = _spans(grid, num_clips)
    return list(zip(start[valid].tolist(), end[valid].tolist(), strict=True))


def test_counts_of_both_datasets():
    assert len(proposal_grid(256, ACTIVITYNET, 8).start) == 134
    assert len(proposal_grid(128, CHARADES, 8).start) == 67


def test_valid_proposals_fit_the_video():
    grid = proposal_grid(12, (4, 8), 4)
    assert _valid(grid, 12) == [(0, 4), (4, 8), (8, 12), (0, 8), (4, 12)]
    assert _valid(grid, 9) == [(0, 4), (4, 8), (0, 8)]


def test_a_short_video_is_one_proposal_in_the_first_slot():
    grid = proposal_grid(12, (8, 4), 4)
    start, end, valid = _spans(grid, 3)
    assert valid[0].tolist() == [True] + [False] * (len(grid.start) - 1)
    assert (start[0, 0], end[0, 0]) == (0, 3)
    assert _valid(proposal_grid(3, (4, 8), 4), 3) == [(0, 3)]


def test_an_item_without_clips_has_no_proposal():
    assert _valid(proposal_grid(12, (4, 8), 4), 0) == []


def test_tail_and_full_windows():
    tail = proposal_grid(12, (4, 8), 4, tail=True)
    assert _valid(tail, 10) == [(0, 4), (4, 8), (0, 8), (6, 10), (2, 10)]
    assert _valid(tail, 12) == _valid(proposal_grid(12, (4, 8), 4), 12)
    assert _valid(tail, 3) == [(0, 3)]
    full = proposal_grid(12, (4, 8), 4, add_full=True)
    assert _valid(full, 10) == [(0, 4), (4, 8), (0, 8), (0, 10)]
    assert _valid(full, 8) == [(0, 4), (4, 8), (0, 8)]
    assert _valid(full, 2) == [(0, 2)]


@pytest.mark.parametrize(("windows", "stride"), [((), 8), ((0, 4), 8), ((4,), 0)])
def test_windows_that_make_no_proposals_are_refused(windows, stride):
    with pytest.raises(ValueError, match="make no proposals: give at least one window"):
        proposal_grid(16, windows, stride)


def test_jax_and_numpy_agree():
    grid = proposal_grid(20, (3, 6, 9), 2, add_full=True, tail=True)
    num_clips = np.arange(21)
    traced = jax.jit(lambda n: proposal_spans(grid, n))(num_clips)
    for one, other in zip(traced, proposal_spans(grid, num_clips, np), strict=True):
        np.testing.assert_array_equal(one, other)


def test_pooling_is_the_mean_of_the_clips_at_full_length():
    rng = np.random.default_rng(0)
    video = (rng.standard_normal((2, 256, 8)) * 10 + 30).astype(np.float32)
    grid = proposal_grid(256, ACTIVITYNET, 8)
    start, end, valid = _spans(grid, 256, 100)
    pooled = np.asarray(pool_proposals(jnp.asarray(video), start, end))
    for b in range(2):
        for k in range(len(grid.start)):
            clips = video[b, start[b, k] : end[b, k]].astype(np.float64)
            expected = clips.mean(0) if valid[b, k] else np.zeros(8)
            np.testing.assert_allclose(pooled[b, k], expected, rtol=3e-7, atol=1e-6)


def test_clips_to_seconds():
    start, end = spans_to_seconds(
        np.array([[8]]), np.array([[20]]), np.array([92]), np.array([30.6], np.float32)
    )
    np.testing.assert_allclose([start[0, 0], end[0, 0]], [2.6609, 6.6522], atol=5e-5)


def _charades_test():
    root = os.environ.get("VMR_DATA_DIR")
    if not root:
        pytest.skip("set VMR_DATA_DIR to the folder of the official annotation files")
    root = Path(root) / "charades_sta"
    with open(root / "Charades_v1_test.csv", newline="") as file:
        durations = {row["id"]: float(row["length"]) for row in csv.DictReader(file)}
    moments = []
    for line in (root / "charades_sta_test.txt").read_text().splitlines():
        video, start, end = line.split("##")[0].split()
        duration = durations[video]
        moments.append((video, duration, min(float(start), duration), min(float(end), duration)))
    return moments


@pytest.mark.parametrize(
    ("uniform", "clips", "proposals", "oracle", "random"),
    [
        (0, 88.0, 41.1, (99.9, 99.5, 91.1), (25.0, 11.2, 3.6)),
        (64, 64.0, 27.0, (99.9, 99.8, 81.8), (28.3, 12.5, 4.2)),
    ],
)
def test_recall_of_the_grid_on_charades(uniform, clips, proposals, oracle, random):
    moments = _charades_test()
    grid = proposal_grid(128, CHARADES, 8)
    videos = {video: duration for video, duration, _, _ in moments}
    count = {v: uniform or min(round(3 * d), 128) for v, d in videos.items()}
    sizes = [sum(_spans(grid, n)[2][0]) for n in count.values()]
    assert abs(np.mean(list(count.values())) - clips) < 0.05
    assert abs(np.mean(sizes) - proposals) < 0.05
    best, mean = [], []
    thresholds = np.array([0.3, 0.5, 0.7])
    for video, duration, start, end in moments:
        spans = np.array(_valid(grid, count[video])) * (duration / count[video])
        inter = np.minimum(spans[:, 1], end) - np.maximum(spans[:, 0], start)
        union = np.maximum(spans[:, 1], end) - np.minimum(spans[:, 0], start)
        hit = (np.maximum(inter, 0) / union)[:, None] >= thresholds
        best.append(hit.any(0))
        mean.append(hit.mean(0))
    np.testing.assert_allclose(100 * np.mean(best, axis=0), oracle, atol=0.051)
    np.testing.assert_allclose(100 * np.mean(mean, axis=0), random, atol=0.051)
