"""A video's native features -> at most N clips, and moments -> clip indices (EVA A17)."""

import numpy as np

SAMPLINGS = ("native_capped", "uniform")


def num_sampled(native: np.ndarray, max_clips: int, sampling: str) -> np.ndarray:
    """Number of clips that videos of `native` length (V,) keep, int32 (V,)."""
    _check(sampling)
    native = np.asarray(native, np.int32)
    return (
        np.full_like(native, max_clips) if sampling == "uniform" else np.minimum(native, max_clips)
    )


def sample_clips(features: np.ndarray, max_clips: int, sampling: str) -> np.ndarray:
    """Mean-pool (n, F) features down to N = max_clips bins; shorter videos keep their clips.

    Clip i is the mean of steps floor(i n / N) ... floor((i + 1) n / N) - 1. With `uniform` a
    shorter video is stretched by the same bins, an empty one taking step floor(i n / N).
    The result has the dtype of `features`.
    """
    _check(sampling)
    length = len(features)
    if length == max_clips or (length < max_clips and sampling == "native_capped"):
        return features
    edges = np.arange(max_clips + 1) * length // max_clips
    if length < max_clips:
        return features[edges[:-1]]
    sums = np.add.reduceat(features.astype(np.float32), edges[:-1], axis=0)
    return (sums / np.diff(edges)[:, None]).astype(features.dtype)


def moment_to_span(moment: np.ndarray, duration: np.ndarray, num_clips: np.ndarray) -> np.ndarray:
    """Moments (Q, 2) in seconds -> inclusive clip indices (Q, 2) int32 (EVA, section 1).

    first = min(floor(start / delta), n - 1); last = clamp(ceil(end / delta) - 1, first, n - 1);
    delta = duration / n. A NaN moment (hidden boundaries) gives (-1, -1).
    """
    last_clip = num_clips.astype(np.int64) - 1
    delta = duration.astype(np.float64) / num_clips
    hidden = np.isnan(moment).any(axis=1)
    start, end = np.where(hidden[:, None], 0.0, moment).astype(np.float64).T
    first = np.clip(np.floor(start / delta).astype(np.int64), 0, last_clip)
    last = np.clip(np.ceil(end / delta).astype(np.int64) - 1, first, last_clip)
    return np.where(hidden[:, None], -1, np.stack([first, last], axis=1)).astype(np.int32)


def _check(sampling: str) -> None:
    if sampling not in SAMPLINGS:
        raise ValueError(f"clip_sampling is {sampling!r}; it must be one of {SAMPLINGS}")
