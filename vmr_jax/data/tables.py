"""A prepared dataset: the moments table in memory, the videos table by random access."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class MomentTable(NamedTuple):
    """One split's Q queries as arrays. Word ids index `Dataset.vectors`."""

    query_id: tuple[str, ...]
    sentence: tuple[str, ...]
    video: np.ndarray  # (Q,) int32 row of the videos table
    words: np.ndarray  # (Q, longest query) int32, zero padded
    num_words: np.ndarray  # (Q,) int32
    moments: tuple[np.ndarray, ...]  # Q arrays (A, 2) float32 seconds


class VideoTable(NamedTuple):
    """The corpus of V videos."""

    video_id: tuple[str, ...]
    duration: np.ndarray  # (V,) float32 seconds
    num_clips: np.ndarray  # (V,) int32 native length
    features: Callable[[int], np.ndarray]  # row -> (num_clips, F) float16, read from disk
    feature_dim: int  # F


class Dataset(NamedTuple):
    """Everything `vmr prepare` wrote for one dataset and one kind of features."""

    name: str
    feature_name: str
    splits: dict[str, MomentTable]
    videos: VideoTable
    vocabulary: tuple[str, ...]  # word 0 is padding, word 1 is unknown
    vectors: np.ndarray  # (W, E) float32; rows 0 and 1 are zero
    fingerprint: str  # changes when the prepared content changes
