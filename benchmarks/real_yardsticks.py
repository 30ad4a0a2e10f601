"""The two ridge figures of real/msrvtt_1ka/README.md: sliding windows, and detected cuts.

A ridge (lambda 3,000) from the mean clip of a moment, square-rooted and standardised, to the
standardised sentence vector. Candidates are windows of 6, 7, 9 and 12 rows, or segments and pairs
of segments between cuts: rows where the means of the three rows before and after differ by more
than 0.7 of the mean difference's scale, and by most within two rows. Nothing was tuned here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from vmr_jax.metrics.linear_match import best_windows, fit_scale, unit, window_means, windows

PENALTY = 3000.0
LENGTHS = (6, 7, 9, 12)
ROW = 2.0  # seconds
CUT = 0.7
_AROUND = 3  # rows on each side of a cut
_RANKED = 5


class Queries(NamedTuple):
    """Q queries of a split."""

    video: np.ndarray  # (Q,) ids
    moment: np.ndarray  # (Q, 2) seconds
    vector: np.ndarray  # (Q, E)


def ridge_moments(
    features: dict[str, Path], train: Queries, asked: Queries, *, cuts: bool
) -> list[np.ndarray]:
    """Q arrays (5, 3) of start s, end s, cosine; `features` are the HDF5 files of both splits."""
    clips = dict(_videos(features["train"]))
    scale = fit_scale(np.concatenate(list(clips.values())))
    spans = np.round(train.moment / ROW).astype(int)
    means = np.stack([clips[v][a:b].mean(0) for v, (a, b) in zip(train.video, spans, strict=True)])
    words = fit_scale(train.vector)
    x, y = scale(means), words(train.vector)
    weights = np.linalg.solve(x.T @ x + PENALTY * np.eye(x.shape[1]), x.T @ y)
    found: list[np.ndarray] = [np.zeros((0, 3))] * len(asked.video)
    for video, rows in _videos(features["test"]):
        own = np.flatnonzero(asked.video == video)
        candidates = _segments(scale(rows)) if cuts else windows(len(rows), LENGTHS)
        mapped = window_means(scale(rows) @ weights, candidates)
        score = unit(words(asked.vector[own])) @ unit(mapped).T
        which, best = best_windows(score, candidates, _RANKED)
        for query, places, cosines in zip(own, which, best, strict=True):
            found[query] = np.column_stack((candidates[places] * ROW, cosines))
    return found


def _videos(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Each video's square-rooted rows (N, F)."""
    with h5py.File(path) as file:
        for video, rows in file.items():
            yield video, np.sqrt(np.asarray(rows, np.float64))


def _segments(rows: np.ndarray) -> np.ndarray:
    """Segments between detected cuts, and pairs of neighbours, (W, 2) rows [start, end)."""
    edges = [0, *_cuts(rows), len(rows)]
    single = list(zip(edges, edges[1:], strict=False))
    return np.array(single + list(zip(edges, edges[2:], strict=False)))


def _cuts(rows: np.ndarray) -> list[int]:
    """Rows before which the picture changes."""
    total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    change = np.zeros(len(rows))
    for row in range(1, len(rows)):
        before, after = max(row - _AROUND, 0), min(row + _AROUND, len(rows))
        one = (total[row] - total[before]) / (row - before)
        other = (total[after] - total[row]) / (after - row)
        cosine = one @ other / (np.linalg.norm(one) * np.linalg.norm(other) + 1e-9)
        change[row] = 1 - cosine
    near = [change[max(row - 2, 0) : row + 3].max() for row in range(len(rows))]
    return [row for row in range(1, len(rows)) if change[row] > CUT and change[row] == near[row]]
