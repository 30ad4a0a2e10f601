import json
from pathlib import Path

import numpy as np
import pytest

from vmr_jax.data.batches.clips import (
    bin_frames,
    centre_frames,
    moment_to_span,
    num_sampled,
    sample_clips,
)

GOLDEN = json.loads((Path(__file__).parents[2] / "golden" / "mmn.json").read_text())


def slow_sample(features, max_clips, sampling):
    """EVA A17 by the letter."""
    n, cap = len(features), max_clips
    if sampling == "native_capped" and n <= cap:
        return features.astype(np.float64)
    clips = []
    for i in range(cap):
        steps = range(i * n // cap, (i + 1) * n // cap)
        steps = steps if len(steps) else [i * n // cap]
        clips.append(np.mean([features[j].astype(np.float64) for j in steps], axis=0))
    return np.stack(clips)


@pytest.mark.parametrize("sampling", ["native_capped", "uniform"])
@pytest.mark.parametrize("length", [1, 3, 7, 8, 9, 20, 61])
def test_matches_the_formula(sampling, length):
    features = np.random.default_rng(length).normal(size=(length, 5)).astype(np.float32)
    got = sample_clips(features, 8, sampling)
    want = slow_sample(features, 8, sampling)
    assert got.dtype == features.dtype
    assert len(got) == num_sampled(np.array([length]), 8, sampling)[0]
    np.testing.assert_allclose(got, want, atol=1e-6)


@pytest.mark.parametrize("length", [1, 8, 20])
def test_a_video_that_is_cut_keeps_its_first_clips(length):
    features = np.random.default_rng(length).normal(size=(length, 5)).astype(np.float16)
    got = sample_clips(features, 8, "cut")
    np.testing.assert_array_equal(got, features[:8])
    assert got.dtype == np.float16 and len(got) == num_sampled(np.array([length]), 8, "cut")[0]


def test_unknown_sampling_names_the_known():
    with pytest.raises(
        ValueError, match=r"clip_sampling is 'mean'.*native_capped.*uniform.*rounded_bins.*cut"
    ):
        sample_clips(np.zeros((3, 2)), 2, "mean")


def golden_frames():
    spec = GOLDEN["inputs"]["src"]
    n = np.arange(np.prod(spec["shape"])) + 1
    frames = spec["offset"] + spec["scale"] * np.sin(spec["freq"] * n)
    return frames.reshape(spec["shape"]).astype(np.float32)


@pytest.mark.parametrize(("count", "name"), [(10, "raw_n10_to_4"), (3, "raw_n3_to_4")])
def test_golden_binning(count, name):
    binned = bin_frames(golden_frames()[:count], 4)
    np.testing.assert_allclose(binned, GOLDEN["outputs"]["binning"][name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 17, 40])
def test_binning_is_the_loop(count):
    frames = np.random.default_rng(0).standard_normal((count, 3)).astype(np.float32)
    edges = [min(round(i * count / 16), count - 1) for i in range(17)]
    expected = [
        frames[a:b].mean(0) if a < b else frames[a]
        for a, b in zip(edges[:-1], edges[1:], strict=True)
    ]
    np.testing.assert_allclose(bin_frames(frames, 16), expected, rtol=1e-5, atol=1e-6)
    assert num_sampled(np.array([count]), 16, "rounded_bins") == [16]
    half = sample_clips(frames.astype(np.float16), 16, "rounded_bins")
    assert half.dtype == np.float16
    np.testing.assert_allclose(half, expected, atol=3e-3)


def test_binning_needs_frames():
    with pytest.raises(ValueError, match="a video without frames cannot be put into 4 bins"):
        bin_frames(np.zeros((0, 3), np.float32), 4)


@pytest.mark.parametrize("length", [1, 2, 3, 7, 16, 61])
def test_centre_frames_hold_the_centres_of_equal_parts(length):
    frames = centre_frames(length, 8)
    assert frames.tolist() == [int((i + 0.5) * length / 8) for i in range(8)]
    assert frames.max() < length


def test_span_of_a_moment():
    moments = np.array([[0, 10], [2.5, 7.5], [9.9, 10], [4, 4], [np.nan, np.nan], [12, 14]])
    spans = moment_to_span(moments, np.full(6, 10.0), np.full(6, 4))
    # delta = 2.5: [0, 10) is clips 0..3, [2.5, 7.5) is 1..2, a moment past the end is the last clip
    assert spans.tolist() == [[0, 3], [1, 2], [3, 3], [1, 1], [-1, -1], [3, 3]]


def test_span_matches_the_formula():
    rng = np.random.default_rng(0)
    duration, clips = rng.uniform(5, 60, 200), rng.integers(1, 40, 200)
    moments = np.sort(rng.uniform(0, 1, (200, 2)), axis=1) * duration[:, None]
    for (s, e), t, n, got in zip(
        moments, duration, clips, moment_to_span(moments, duration, clips), strict=True
    ):
        delta = t / n
        first = min(int(np.floor(s / delta)), n - 1)
        last = min(max(int(np.ceil(e / delta)) - 1, first), n - 1)
        assert got.tolist() == [first, last]
