"""The yardstick `linear_match`: a ridge regression from clips to queries, and sliding windows.

What a minute of simple matching finds: no network, no temporal model, nothing to tune. Rows of
clips and of queries are standardised; where no feature is negative its square root is taken before
(features after a ReLU are skewed). A ridge maps a moment's mean clip to its query's vector. The
score of a window is the cosine of the query and the mean of the window's mapped clips.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

PENALTIES = tuple(float(p) for p in 10.0 ** np.arange(-2, 3.5, 0.5))  # per example
FOLDS = 4
_MOST_QUERIES = 1000  # of a fold that are ranked, those first in the order of its permutation
NMS = 0.5  # windows that overlap a better one by more are left out
SHARES = (0.1, 0.2, 0.3, 0.5)  # of the duration: the windows where no moment is labelled
QUANTILES = (0.1, 0.3, 0.5, 0.7, 0.9)  # of the training moments' lengths, the windows else


class Scale(NamedTuple):
    """How rows are standardised."""

    mean: np.ndarray  # (D,)
    deviation: np.ndarray  # (D,); 1 where a dimension does not vary
    root: bool  # whether the square root is taken before

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        """Standardise rows (..., D) float64."""
        rows = np.asarray(rows, np.float64)
        return ((np.sqrt(np.maximum(rows, 0)) if self.root else rows) - self.mean) / self.deviation


class LinearMatch(NamedTuple):
    """The fitted ridge."""

    clips: Scale
    queries: Scale
    weights: np.ndarray  # (F, E)
    penalty: float  # per example, one of PENALTIES

    def map_clips(self, clips: np.ndarray) -> np.ndarray:
        """Clips (N, F) in the space of the queries, (N, E)."""
        return self.clips(clips) @ self.weights


def fit_scale(rows: np.ndarray) -> Scale:
    """Mean and deviation of rows (n, D)."""
    rows = np.asarray(rows, np.float64)
    return make_scale(rows.mean(axis=0), rows.std(axis=0), root=False)


def make_scale(mean: np.ndarray, deviation: np.ndarray, *, root: bool) -> Scale:
    """A scale that leaves dimensions (D,) as wide as they are where they do not vary."""
    return Scale(mean, np.where(deviation > 1e-6, deviation, 1.0), root)


def fit(scale: Scale, clips: np.ndarray, queries: np.ndarray) -> LinearMatch:
    """Fit the ridge of training queries (n, E) on the standardised clips (n, F) of their moments.

    The penalty is the one of PENALTIES with the best mean reciprocal rank of the right clips among
    those of a fold of examples that the ridge has not seen. Examples of the same clips, which may
    stand in several videos, are in one fold; where all are the same the largest penalty is taken.
    """
    to_queries = fit_scale(queries)
    targets = to_queries(queries)
    group = _same_rows(clips)
    fold = _folds(group)
    quality = np.zeros(len(PENALTIES))
    for held_out in range(FOLDS if group.any() else 0):
        seen, held = fold != held_out, np.flatnonzero(fold == held_out)[:_MOST_QUERIES]
        if not len(held) or not seen.any():
            continue
        same = group[held][:, None] == group[held]
        for place, weights in enumerate(_ridge_of_groups(clips, targets, group, seen, PENALTIES)):
            quality[place] += _reciprocal_rank(clips[held] @ weights, targets[held], same)
    best = PENALTIES[int(quality.argmax())] if quality.any() else PENALTIES[-1]
    every = np.ones(len(clips), bool)
    (weights,) = _ridge_of_groups(clips, targets, group, every, (best,))
    return LinearMatch(scale, to_queries, weights, best)


def ridge_path(
    inputs: np.ndarray, targets: np.ndarray, penalties: Sequence[float]
) -> list[np.ndarray]:
    """The ridge weights (F, E) for each penalty p: argmin |X W - Y|^2 + p |W|^2.

    One decomposition serves all: of X'X, or of XX' where there are fewer examples than inputs.
    """
    n, width = inputs.shape
    if n >= width:
        values, vectors = np.linalg.eigh(inputs.T @ inputs)
        turned, back = vectors.T @ (inputs.T @ targets), vectors
    else:
        values, vectors = np.linalg.eigh(inputs @ inputs.T)
        turned, back = vectors.T @ targets, inputs.T @ vectors
    return [back @ (turned / (np.maximum(values, 0) + p)[:, None]) for p in penalties]


def _ridge_of_groups(
    clips: np.ndarray,
    targets: np.ndarray,
    group: np.ndarray,
    seen: np.ndarray,
    penalties: Sequence[float],
) -> list[np.ndarray]:
    """`ridge_path` of the `seen` examples, penalties per example, from one row a group of them."""
    own, first, place, count = np.unique(
        group[seen], return_index=True, return_inverse=True, return_counts=True
    )
    sums = np.zeros((len(own), targets.shape[1]))
    np.add.at(sums, place, targets[seen])
    root = np.sqrt(count)[:, None]
    penalties = [p * len(place) for p in penalties]
    return ridge_path(clips[seen][first] * root, sums / root, penalties)


def _same_rows(rows: np.ndarray) -> np.ndarray:
    """A number (n,) for each row (n, F) that equal rows share."""
    code = rows @ np.random.default_rng(0).normal(size=rows.shape[1])
    return np.unique(code.round(6), return_inverse=True)[1]


def unit(rows: np.ndarray) -> np.ndarray:
    """Rows (..., E) at length 1; zero rows stay."""
    length = np.linalg.norm(rows, axis=-1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def windows(num_clips: int, lengths: Iterable[int]) -> np.ndarray:
    """All windows (W, 2) of some lengths in a video, clips [start, end), a clip apart.

    A length beyond the video is the video's.
    """
    spans = [
        (start, start + length)
        for length in sorted({min(max(int(length), 1), num_clips) for length in lengths})
        for start in range(num_clips - length + 1)
    ]
    return np.array(spans)


def window_means(rows: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """The means (W, E) of the rows (N, E) in spans (W, 2)."""
    total = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    return (total[spans[:, 1]] - total[spans[:, 0]]) / (spans[:, 1] - spans[:, 0])[:, None]


def best_windows(
    scores: np.ndarray, spans: np.ndarray, k: int, nms: float = NMS
) -> tuple[np.ndarray, np.ndarray]:
    """The k best windows of Q queries after suppression: rows of `spans` (Q, k), and their scores.

    `scores` are (Q, W). A window whose IoU with a better one exceeds `nms` is left out; where fewer
    are left the score is -inf.
    """
    inter = np.minimum(spans[:, None, 1], spans[:, 1]) - np.maximum(spans[:, None, 0], spans[:, 0])
    lengths = spans[:, 1] - spans[:, 0]
    inter = np.maximum(inter, 0)
    overlap = inter / (lengths[:, None] + lengths - inter) > nms
    left = scores.astype(np.float64).copy()
    rows, found = np.arange(len(left)), []
    for _ in range(k):
        best = left.argmax(axis=1)
        found.append((best, left[rows, best]))
        left[overlap[best]] = -np.inf
        left[rows, best] = -np.inf
    where, score = zip(*found, strict=True)
    return np.stack(where, axis=1), np.stack(score, axis=1)


def _folds(group: np.ndarray) -> np.ndarray:
    """The fold (n,) of each example: groups are dealt in a seeded random order."""
    return np.random.default_rng(0).permutation(group.max() + 1)[group] % FOLDS


def _reciprocal_rank(mapped: np.ndarray, queries: np.ndarray, same: np.ndarray) -> float:
    """The mean reciprocal rank of each query's clips among those of other groups."""
    scores = unit(queries) @ unit(mapped).T
    better = (scores > np.diag(scores)[:, None]) & ~same
    return float(np.mean(1 / (1 + better.sum(axis=1))))
