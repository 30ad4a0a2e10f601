"""Moment mAP and R@1 over lengths of moments, as QVHighlights' official tool computes them.

Source: docs/metrics.md, mAP; Lei, Berg, Bansal, "QVHighlights" (NeurIPS 2021), evaluation of
jayleicn/moment_detr. The average precision is that of ActivityNet and VOC 2011 (area under the
interpolated curve).
"""

from collections.abc import Mapping, Sequence

import numpy as np

from vmr_jax.metrics.moments import (
    PerQuery,
    pad_truths,
    rank_predictions,
    reaches,
    temporal_iou,
)

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MAX_PREDICTIONS = 10  # the official tool reads no more of a query's list
_BLOCK = 10_000  # queries that are in memory at once
# Truths whose length l in seconds is low < l <= high.
LENGTH_RANGES = {
    "full": (-np.inf, np.inf),
    "long": (30.0, 150.0),
    "middle": (10.0, 30.0),
    "short": (0.0, 10.0),
}


def average_precision(
    predictions: PerQuery,
    truths: PerQuery,
    thresholds: Sequence[float] = THRESHOLDS,
) -> np.ndarray:
    """Average precision of each of Q queries at each of T IoU thresholds, (Q, T) in [0, 1].

    predictions are Q arrays (K, 3) of start s, end s, score; truths Q arrays (A, 2). Only the
    first MAX_PREDICTIONS rows of a query are read. From the best score downwards, each takes
    the free truth with the largest IoU (the last one if equal), if that reaches the threshold;
    a truth is taken once. A query without predictions or without truths has 0.
    """
    ranked, true = _ranked(predictions), pad_truths(truths)
    total = np.array([len(windows) for windows in truths])
    return _precision_of_padded(ranked, true, total, np.asarray(thresholds, np.float64))


def set_values(predictions: PerQuery, truths: PerQuery) -> dict[str, np.ndarray]:
    """mAP, mAP@0.5 and mAP@0.75 of each of Q queries, (Q,) in [0, 1], as `average_precision`."""
    precision = average_precision(predictions, truths)
    each = {f"mAP@{m}": precision[:, THRESHOLDS.index(m)] for m in (0.5, 0.75)}
    return {"mAP": precision.mean(axis=1)} | each


def length_metrics(predictions: PerQuery, truths: PerQuery) -> dict[str, dict[str, float]]:
    """The means of `length_values` in percent; "queries" holds how many count in a range."""
    return {
        name: length_means(values) for name, values in length_values(predictions, truths).items()
    }


def length_means(values: Mapping[str, np.ndarray]) -> dict[str, float]:
    """The means in percent of one range's `length_values`, after the number of its "queries"."""
    means = {name: 100 * float(np.nanmean(column)) for name, column in values.items()}
    return {"queries": int(np.sum(~np.isnan(values["mAP"]))), **means}


def length_values(predictions: PerQuery, truths: PerQuery) -> dict[str, dict[str, np.ndarray]]:
    """mAP, mAP@m and R@1,IoU=m of each of Q queries, (Q,) in [0, 1], in each length range.

    Shapes as in `average_precision`. In a range only its truths count, and only the queries
    that have one, the others have NaN; all predictions stay. A range without truths is left out.
    R@1 takes the row with the best score, where the official tool takes the first row; files list
    the best first. Raises ValueError for arrays of another shape.
    """
    ranked, true = _ranked(predictions), pad_truths(truths)
    iou = temporal_iou(rank_predictions(predictions, 1)[..., :2], true)  # (Q, A)
    length = true[..., 1] - true[..., 0]
    levels, found = np.array(THRESHOLDS), {}
    for name, (low, high) in LENGTH_RANGES.items():
        inside = (length > low) & (length <= high)
        counted = inside.any(axis=1)
        if not counted.any():
            continue
        within = np.where(inside[..., None], true, np.nan)[counted]
        total = inside[counted].sum(axis=1)
        precision = np.full((len(true), len(levels)), np.nan)
        precision[counted] = _precision_of_padded(ranked[counted], within, total, levels)
        recall = reaches(np.where(inside, iou, 0.0).max(axis=1)[:, None], levels).astype(np.float64)
        recall[~counted] = np.nan
        found[name] = {
            "mAP": precision.mean(axis=1),
            **{f"mAP@{m:g}": precision[:, i] for i, m in enumerate(THRESHOLDS)},
            **{f"R@1,IoU={m:g}": recall[:, i] for i, m in enumerate(THRESHOLDS)},
        }
    return found


def _ranked(predictions: PerQuery) -> np.ndarray:
    """The first MAX_PREDICTIONS rows of each query by score, (Q, MAX_PREDICTIONS, 2)."""
    listed = [np.asarray(rows)[:MAX_PREDICTIONS] for rows in predictions]
    return rank_predictions(listed, MAX_PREDICTIONS)[..., :2]


def _precision_of_padded(
    ranked: np.ndarray, true: np.ndarray, total: np.ndarray, levels: np.ndarray
) -> np.ndarray:
    """Average precision (Q, T) of moments (Q, n, 2), best first, and truths (Q, A, 2).

    Both are padded with NaN; `total` (Q,) are the numbers of truths.
    """
    found = np.zeros((len(true), len(levels)))
    for first in range(0, len(true), _BLOCK):
        part = slice(first, first + _BLOCK)
        hits = _hits(ranked[part], true[part, ::-1], levels)
        precision = hits.cumsum(axis=-1) / np.arange(1, hits.shape[-1] + 1)
        interpolated = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
        area = (hits * interpolated).sum(axis=-1)
        found[part] = area / np.maximum(total[part], 1)[:, None]
    return found


def _hits(ranked: np.ndarray, true: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """1 where a prediction takes a truth, (Q, T, n). The first of equal truths (Q, A, 2) is taken.

    The caller has reversed the truths, so that it is the last of them.
    """
    queries, most = true.shape[:2]
    taken = np.repeat(np.isnan(true[..., 0]).T[..., None], len(levels), axis=-1)  # (A, Q, T)
    hits = np.zeros((queries, len(levels), ranked.shape[1]))
    for rank in range(ranked.shape[1]):
        iou = temporal_iou(ranked[:, rank, None], true).T[..., None]  # (A, Q, 1)
        free = np.where(taken, -1.0, iou)
        hit = reaches(free.max(axis=0), levels)
        taken |= hit & (np.arange(most)[:, None, None] == free.argmax(axis=0))
        hits[..., rank] = hit
    return hits
