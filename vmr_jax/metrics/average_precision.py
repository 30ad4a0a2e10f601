"""Moment mAP and R@1 over lengths of moments, as QVHighlights' official tool computes them.

Source: docs/metrics.md, mAP; Lei, Berg, Bansal, "QVHighlights" (NeurIPS 2021), evaluation of
jayleicn/moment_detr. The average precision is that of ActivityNet and VOC 2011 (area under the
interpolated curve).
"""

from collections.abc import Sequence

import numpy as np

from vmr_jax.metrics.moments import (
    PerQuery,
    moment_metrics,
    pad_truths,
    rank_predictions,
    reaches,
    temporal_iou,
)

THRESHOLDS = (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
MAX_PREDICTIONS = 10  # the official tool reads no more of a query's list
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
    listed = [np.asarray(rows)[:MAX_PREDICTIONS] for rows in predictions]
    ranked = rank_predictions(listed, MAX_PREDICTIONS)[..., :2]
    true = pad_truths(truths)[:, ::-1]  # reversed: argmax then finds the last of equal truths
    queries, levels = len(true), np.asarray(thresholds, np.float64)
    taken = np.repeat(np.isnan(true[:, None, :, 0]), len(levels), axis=1)  # (Q, T, A)
    hits = np.zeros((queries, len(levels), MAX_PREDICTIONS))
    for rank in range(MAX_PREDICTIONS):
        iou = temporal_iou(ranked[:, rank, None], true)[:, None]  # (Q, 1, A)
        free = np.where(taken, -1.0, iou)
        choice = free.argmax(axis=-1)[..., None]
        hit = reaches(np.take_along_axis(free, choice, axis=-1), levels[:, None])  # (Q, T, 1)
        hits[..., rank] = hit[..., 0]
        was = np.take_along_axis(taken, choice, axis=-1)
        np.put_along_axis(taken, choice, was | hit, axis=-1)

    precision = hits.cumsum(axis=-1) / np.arange(1, MAX_PREDICTIONS + 1)
    interpolated = np.maximum.accumulate(precision[..., ::-1], axis=-1)[..., ::-1]
    total = np.array([len(windows) for windows in truths]).reshape(queries, 1)
    return (hits * interpolated).sum(axis=-1) / np.maximum(total, 1)


def length_metrics(predictions: PerQuery, truths: PerQuery) -> dict[str, dict[str, float]]:
    """mAP, mAP@m and R@1,IoU=m in percent, for all truths and for those of each length range.

    Shapes as in `average_precision`. In a range only its truths count, and only the queries
    that have one; all predictions stay. "queries" holds their number; a range without truths
    is left out. R@1 takes the row with the best score, where the official tool takes the first
    row; files list the best first. Raises ValueError for arrays of another shape.
    """
    truths = [np.asarray(windows, np.float64).reshape(-1, 2) for windows in truths]
    report = {}
    for name, (low, high) in LENGTH_RANGES.items():
        within = [windows[_within(windows, low, high)] for windows in truths]
        inside = [pair for pair in zip(predictions, within, strict=True) if len(pair[1])]
        if not inside:
            continue
        rows, windows = zip(*inside, strict=True)
        precision = average_precision(rows, windows).mean(axis=0)
        recall = moment_metrics(rows, windows, ranks=(1,), thresholds=THRESHOLDS)
        report[name] = {
            "queries": len(inside),
            "mAP": 100 * float(precision.mean()),
            **{f"mAP@{m:g}": 100 * float(p) for m, p in zip(THRESHOLDS, precision, strict=True)},
            **{key: value for key, value in recall.items() if key != "mIoU"},
        }
    return report


def _within(windows: np.ndarray, low: float, high: float) -> np.ndarray:
    """True, (A,), on the windows of a length in (low, high]."""
    length = windows[:, 1] - windows[:, 0]
    return (length > low) & (length <= high)
