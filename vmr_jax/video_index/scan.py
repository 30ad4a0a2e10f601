"""Exact comparison of sentences with all frames of an index."""

from functools import cached_property
from typing import Protocol

import jax.numpy as jnp
import numpy as np

from vmr_jax.search.exact import top_videos
from vmr_jax.search.table import Clips, Table, make_table

_WIDE = 2**30  # bytes of float32 rows that are kept in memory
_SENTENCES = 32  # compared at once
_FRAMES = 2**12  # widened at once


class VideoRanking(Protocol):
    """What tells the videos of an index that fit sentences."""

    def best_videos(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        """The numbers of at most `count` videos for each sentence (S, width), best first.

        A video counts as its frame that is most similar.
        """
        ...


class ExactScan:
    """Compares sentences with every frame: float32 in memory where these are few, else by XLA."""

    def __init__(self, rows: np.ndarray, begin: np.ndarray):
        """Of frames (N, width) float16 of length 1; those of a video begin at `begin` (V + 1,)."""
        self._rows, self._begin = rows, begin

    def best_videos(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        """As of VideoRanking; equal videos are in their order."""
        if len(self._begin) < 2:
            return [np.zeros(0, int) for _ in vectors]
        parts = [vectors[at : at + _SENTENCES] for at in range(0, len(vectors), _SENTENCES)]
        search = self._in_memory if 4 * self._rows.size <= _WIDE else self._by_table
        return [numbers for part in parts for numbers in search(part, count)]

    def _in_memory(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        best = np.maximum.reduceat(vectors @ self._wide, self._begin[:-1], axis=1)
        return [_highest(scores, count) for scores in best]

    def _by_table(self, vectors: np.ndarray, count: int) -> list[np.ndarray]:
        shape = (1 if len(vectors) == 1 else _SENTENCES, 1, vectors.shape[1])
        padded = np.zeros(shape, np.float32)  # so that two programs do for all
        padded[: len(vectors), 0] = vectors
        _, found = top_videos(jnp.asarray(padded), self._table, min(count, len(self._begin) - 1))
        return list(np.asarray(found)[: len(vectors)])

    @cached_property
    def _wide(self) -> np.ndarray:
        """The frames as columns (width, N) float32: a product reads them twice as fast as rows."""
        frames, width = self._rows.shape
        wide = np.empty((width, frames), np.float32)
        for at in range(0, frames, _FRAMES):
            wide[:, at : at + _FRAMES] = self._rows[at : at + _FRAMES].T
        return wide

    @cached_property
    def _table(self) -> Table:
        return make_table([Clips((self._rows,), np.diff(self._begin))])


def _highest(scores: np.ndarray, count: int) -> np.ndarray:
    """Where the `count` highest scores (V,) are, the highest first; equal ones in their order."""
    if count < len(scores):
        least = np.partition(scores, -count)[-count]
        near = np.flatnonzero(scores >= least)
    else:
        near = np.arange(len(scores))
    return near[np.argsort(-scores[near], kind="stable")][:count]
