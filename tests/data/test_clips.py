import numpy as np
import pytest

from vmr_jax.data.clips import moment_to_span, num_sampled, sample_clips


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


def test_unknown_sampling_names_the_known():
    with pytest.raises(ValueError, match=r"clip_sampling is 'mean'.*native_capped.*uniform"):
        sample_clips(np.zeros((3, 2)), 2, "mean")


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
