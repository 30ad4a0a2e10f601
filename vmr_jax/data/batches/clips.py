"""A video's native features -> at most N clips, and moments -> clip indices."""

import numpy as np

SAMPLINGS = ("native_capped", "uniform", "rounded_bins", "cut")


def num_sampled(native: np.ndarray, max_clips: int, sampling: str) -> np.ndarray:
    """Number of clips that videos of `native` length (V,) keep, int32 (V,)."""
    _check(sampling)
    native = np.asarray(native, np.int32)
    if sampling in ("native_capped", "cut"):
        return np.minimum(native, max_clips)
    return np.full_like(native, max_clips)


def sample_clips(features: np.ndarray, max_clips: int, sampling: str) -> np.ndarray:
    """Mean-pool (n, F) features down to N = max_clips bins; shorter videos keep their clips.

    Clip i is the mean of steps floor(i n / N) ... floor((i + 1) n / N) - 1 (EVA A17). With
    `uniform` a shorter video is stretched by the same bins, an empty one taking step
    floor(i n / N). With `rounded_bins` the bins are those of `bin_frames`, for every length.
    With `cut` nothing is pooled, a longer video keeps its first N clips. The result has the dtype
    of `features`.
    """
    _check(sampling)
    length = len(features)
    if sampling == "cut":
        return features[:max_clips]
    if sampling == "rounded_bins":
        return bin_frames(features, max_clips).astype(features.dtype)
    if length == max_clips or (length < max_clips and sampling == "native_capped"):
        return features
    edges = np.arange(max_clips + 1) * length // max_clips
    if length < max_clips:
        return features[edges[:-1]]
    sums = np.add.reduceat(features.astype(np.float32), edges[:-1], axis=0)
    return (sums / np.diff(edges)[:, None]).astype(features.dtype)


def bin_frames(features: np.ndarray, bins: int) -> np.ndarray:
    """Mean of the frames of each bin, on the host: (n, F) -> (bins, F) float32.

    Bin i is [e_i, e_i+1) with e_i = min(round(i n / bins), n - 1), halves to even; an empty bin
    is frame e_i. So the last frame is dropped where n > bins, as in the public code (MMN A1).
    Raises ValueError without frames.
    """
    if len(features) == 0:
        raise ValueError(f"a video without frames cannot be put into {bins} bins")
    count = len(features)
    edges = np.minimum(np.round(np.arange(bins + 1) * count / bins).astype(int), count - 1)
    used = features[: max(edges[-1], edges[-2] + 1)].astype(np.float32)
    sums = np.add.reduceat(used, edges[:-1], axis=0)
    return sums / np.maximum(np.diff(edges), 1).astype(np.float32)[:, None]


def centre_frames(length: int, count: int) -> np.ndarray:
    """The frames at the centres of `count` equal parts of `length` frames (VDI D4)."""
    return (2 * np.arange(count) + 1) * length // (2 * count)


def moment_to_span(moment: np.ndarray, duration: np.ndarray, num_clips: np.ndarray) -> np.ndarray:
    """Moments (Q, 2) in seconds -> inclusive clip indices (Q, 2) int32 (EVA, Eq. 6).

    first = min(floor(start / delta), n - 1); last = clamp(ceil(end / delta) - 1, first, n - 1);
    delta = duration / n. A NaN moment (hidden boundaries) gives (-1, -1).
    """
    last_clip = num_clips.astype(np.int64) - 1
    delta = duration.astype(np.float64) / num_clips
    hidden = np.isnan(moment).any(axis=1, keepdims=True)
    start, end = np.where(hidden, 0.0, moment).astype(np.float64).T
    first = np.clip(np.floor(start / delta).astype(np.int64), 0, last_clip)
    last = np.clip(np.ceil(end / delta).astype(np.int64) - 1, first, last_clip)
    return np.where(hidden, -1, np.stack([first, last], axis=1)).astype(np.int32)


def _check(sampling: str) -> None:
    if sampling not in SAMPLINGS:
        raise ValueError(f"clip_sampling is {sampling!r}; it must be one of {SAMPLINGS}")
