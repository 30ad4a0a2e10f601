"""Highlight detection as QVHighlights' official tool measures it: HL-mAP and HL-Hit1.

A video is clips of CLIP_SECONDS, of which some annotators rated each from 0 (very bad) to 4 (very
good). A clip is a highlight for an annotator who rated it at least as a level asks. Source:
docs/metrics.md, Highlights; Lei, Berg, Bansal, "QVHighlights" (NeurIPS 2021), evaluation of
jayleicn/moment_detr.
"""

from collections.abc import Sequence

import numpy as np

CLIP_SECONDS = 2
LEVELS = {"Fair": 2, "Good": 3, "VeryGood": 4}
NAMES = tuple(f"HL-min-{level}-{kind}" for level in LEVELS for kind in ("mAP", "Hit1"))
_CELLS = 4_000_000  # queries by clips by annotators by levels that are in memory at once


def highlight_metrics(
    saliency: Sequence[np.ndarray | Sequence[float]], ratings: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """Both metrics at each of LEVELS of each of Q queries, (Q,) in [0, 1], under NAMES.

    `saliency` are Q arrays, a score a clip, `ratings` Q arrays (C, A) of C clips by A annotators.
    HL-mAP is the mean over annotators of the average precision of the clips by their scores; equal
    scores are one step of its curve, and it is 0 where the annotator saw no highlight. Scores
    beyond the C clips are not read, missing ones are 0. HL-Hit1 is 1 where the clip with the
    highest score, the first of equal ones, is a highlight for one annotator at least. A NaN score
    ranks last. A query without scores has 0, one without ratings (C = 0) NaN: it does not count.
    """
    if len(saliency) != len(ratings):
        raise ValueError(f"{len(saliency)} lists of saliency for {len(ratings)} queries")
    found = np.full((len(ratings), len(LEVELS), 2), np.nan)
    shapes = np.array([rated.shape for rated in ratings]).reshape(-1, 2)
    for annotators in np.unique(shapes[shapes[:, 0] > 0, 1]):
        rows = np.flatnonzero((shapes[:, 0] > 0) & (shapes[:, 1] == annotators))
        cells = shapes[rows, 0].max() * annotators * len(LEVELS)
        for part in np.array_split(rows, -(-len(rows) * cells // _CELLS)):
            scores, rated, clips = _padded(part, saliency, ratings)
            found[part, :, 0] = _average_precision(scores, rated, clips)
            found[part, :, 1] = _hit(part, saliency, rated)
    return dict(zip(NAMES, found.reshape(len(ratings), -1).T, strict=True))


def _padded(
    queries: np.ndarray, saliency: Sequence, ratings: Sequence[np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (Q, N), ratings (Q, N, A) padded with -1, and the numbers of clips (Q,)."""
    clips = np.array([len(ratings[query]) for query in queries])
    scores = np.zeros((len(queries), clips.max()))
    rated = np.full((*scores.shape, ratings[queries[0]].shape[1]), -1.0)
    for row, query in enumerate(queries):
        given = np.asarray(saliency[query], np.float64)[: clips[row]]
        scores[row, : len(given)] = np.where(np.isnan(given), -np.inf, given)
        rated[row, : clips[row]] = ratings[query]
    empty = [not len(saliency[query]) for query in queries]
    rated[empty] = -1.0
    return scores, rated, clips


def _average_precision(scores: np.ndarray, rated: np.ndarray, clips: np.ndarray) -> np.ndarray:
    """The mean over annotators of the interpolated average precision at each level, (Q, 3)."""
    queries, most = scores.shape
    real = np.arange(most) < clips[:, None]
    order = np.lexsort((-scores, ~real), axis=-1)
    scores = np.take_along_axis(scores, order, axis=1)
    rated = np.take_along_axis(rated, order[..., None], axis=1)
    ends = np.ones((queries, most), bool)  # the last of clips with equal scores: a threshold
    ends[:, :-1] = (scores[:, :-1] != scores[:, 1:]) | ~real[:, 1:]
    ends &= real
    ends = ends[..., None, None]
    hits = np.cumsum(rated[..., None] >= np.array(list(LEVELS.values())), axis=1)  # (Q, N, A, 3)
    precision = np.where(ends, hits / np.arange(1, most + 1)[:, None, None], 0.0)
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    before = np.zeros_like(hits)
    before[:, 1:] = np.maximum.accumulate(np.where(ends, hits, 0), axis=1)[:, :-1]
    gains = ends & (hits > before)  # where recall rises
    steps = np.maximum(gains.sum(axis=1), 1)
    return ((precision * gains).sum(axis=1) / steps).mean(axis=1)


def _hit(queries: np.ndarray, saliency: Sequence, rated: np.ndarray) -> np.ndarray:
    """Whether the clip with the highest score is a highlight at each level, (Q, 3)."""
    best = np.zeros(len(queries))
    for row, query in enumerate(queries):
        given = np.asarray(saliency[query], np.float64)
        if len(given):
            place = int(np.argmax(np.where(np.isnan(given), -np.inf, given)))
            best[row] = rated[row, place].max() if place < rated.shape[1] else -1.0
    return (best[:, None] >= np.array(list(LEVELS.values()))).astype(np.float64)
