"""The corpus of a prepared dataset: V videos and one kind of features of each."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data.tables.statistics import FeatureStatistics

Read = Callable[[int], np.ndarray]  # row of the videos -> what is stored of one, float16


class VideoTable(NamedTuple):
    """The corpus of V videos."""

    video_id: tuple[str, ...]
    duration: np.ndarray  # (V,) float64 seconds
    num_clips: np.ndarray  # (V,) int32 native length
    features: Read  # row -> (num_clips, F) float16, read from disk
    feature_dim: int  # F
    cells: int = 0  # G, where they are patches: `features` gives (num_clips, G, F)
    # Of the clips of the training videos; None: there is no training split, or they are patches
    statistics: FeatureStatistics | None = None
    parts: tuple[int, ...] = ()  # the widths of the kinds of features that were joined
    # "encoder", "weights", "fps" or "clip_seconds" of `vmr extract`; empty: not known, or joined
    made_by: Mapping[str, Any] = MappingProxyType({})
