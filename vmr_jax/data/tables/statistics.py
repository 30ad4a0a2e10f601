"""Mean and deviation of each dimension of the clip features of a dataset's training videos."""

from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Annotations
from vmr_jax.data.datasets.repair import is_training
from vmr_jax.data.tables.store import AGAIN, read_array
from vmr_jax.output_files import whole_path

STATISTICS_FILE = "statistics.npy"
# A deviation is rounding where it is a smaller share of the mean. Two float16 differ by 5e-4 of it.
_ROUNDING = 1e-12


class Spread(NamedTuple):
    """Mean and deviation (ddof 0) of F dimensions, float64; 0 where one never varies."""

    mean: np.ndarray  # (F,)
    deviation: np.ndarray  # (F,)


class FeatureStatistics(NamedTuple):
    """What is stored of the features of a training split."""

    raw: Spread
    sqrt: Spread  # of sign(x) sqrt(|x|)


class RunningStatistics:
    """Gathers the statistics in one pass: float64 sums of each video, merged.

    The merge is that of Chan, Golub and LeVeque (1979): it needs no guess of the mean, and gives
    what a second pass over all rows would, up to float64 rounding.
    """

    def __init__(self, videos: Collection[str]):
        """`videos` are those that count."""
        self._videos = frozenset(videos)
        self._rows = 0
        self._mean = self._squares = np.zeros(())  # (2, F): raw, square roots

    def add(self, video: str, clips: np.ndarray) -> None:
        """Count the clips (N, F) of a video, if it is one of those that count."""
        if video not in self._videos:
            return
        both = np.empty((2, *clips.shape))  # in place: half of the time was new memory
        rows, roots = both[0, ...], both[1, ...]
        rows[...] = clips
        np.sqrt(np.abs(rows, out=roots), out=roots)
        np.copysign(roots, rows, out=roots)
        mean = both.mean(axis=1)
        both -= mean[:, None]
        squares = np.square(both, out=both).sum(axis=1)
        total, apart = self._rows + len(clips), mean - self._mean
        self._squares = self._squares + squares + apart**2 * (self._rows * len(clips) / total)
        self._mean = self._mean + apart * (len(clips) / total)
        self._rows = total

    def write(self, directory: Path) -> None:
        """Write the file of the statistics; where no video counted there is none."""
        path = directory / STATISTICS_FILE
        if not self._rows:
            path.unlink(missing_ok=True)
            return
        deviation = np.sqrt(self._squares / self._rows)
        deviation[deviation <= _ROUNDING * np.abs(self._mean)] = 0
        with whole_path(path) as draft:
            np.save(draft, np.stack([self._mean, deviation], axis=1))


def training_videos(annotations: Annotations) -> set[str]:
    """The ids of the videos that a query of a training split is about."""
    return {
        record.video_id
        for split, records in annotations.splits.items()
        if is_training(split)
        for record in records
    }


def read_statistics(directory: Path) -> FeatureStatistics | None:
    """Read the file of the statistics; None where the dataset has no training split.

    Raises ValueError where it is damaged.
    """
    path = directory / STATISTICS_FILE
    if not path.is_file():
        return None
    stored = read_array(path)
    if stored.ndim != 3 or stored.shape[:2] != (2, 2):
        raise ValueError(f"{path} is damaged (it has the shape {stored.shape}); {AGAIN}")
    raw, sqrt = stored
    return FeatureStatistics(Spread(*raw), Spread(*sqrt))
