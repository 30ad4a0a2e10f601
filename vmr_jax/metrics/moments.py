"""Recall, mIoU and discounted recall of ranked moments, in float64.

Predictions are one (K, 3) array a query: start s, end s, score. Truths are one (A, 2) array a
query, seconds; the best of a query's truths counts. Source: docs/metrics.md,
Recall (TALL's R@n,IoU=m; the discount of Yuan et al. 2021).
"""

import warnings
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

# Rows (n, width) of each of Q queries; where all have as many, also one array (Q, n, width)
PerQuery = Sequence[np.ndarray | Sequence[Sequence[float]]] | np.ndarray

RANKS = (1, 5)
THRESHOLDS = (0.1, 0.3, 0.5, 0.7)
# Times of float32 devices and decimal fractions give an IoU that is a threshold exactly as a number
# beside it: within this distance it is the threshold.
TOLERANCE = 1e-6
DISCOUNTED_DATASETS = ("charades_cd", "activitynet_cd")  # reported with discounted recall


def temporal_iou(predicted: ArrayLike, true: ArrayLike) -> np.ndarray:
    """IoU of moments (..., 2) in seconds; the leading axes broadcast.

    It is 0 for a moment that does not end after it starts and for a boundary that is not
    finite, on either side.
    """
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    with np.errstate(invalid="ignore"):
        inter = np.minimum(predicted[..., 1], true[..., 1])
        inter = inter - np.maximum(predicted[..., 0], true[..., 0])
        union = np.maximum(predicted[..., 1], true[..., 1])
        union = union - np.minimum(predicted[..., 0], true[..., 0])
        proper = (inter > 0) & np.isfinite(union)
    return np.where(proper, inter, 0.0) / np.where(proper, union, 1.0)


def reaches(iou: ArrayLike, threshold: ArrayLike, iou_cmp: str = "ge") -> np.ndarray:
    """True where an IoU reaches a threshold ("ge"), or exceeds it ("gt"); the axes broadcast.

    An IoU within TOLERANCE of the threshold is taken for equal to it.
    """
    above = np.asarray(iou, np.float64) - np.asarray(threshold, np.float64)
    return above >= -TOLERANCE if iou_cmp == "ge" else above > TOLERANCE


def rank_predictions(predictions: PerQuery, n: int) -> np.ndarray:
    """The n best predictions of each of Q queries, (Q, n, 3), best first, padded with NaN.

    Equal scores keep their order; a NaN score ranks as -inf. Warns of queries that have only
    NaN scores, whose order is kept. Raises ValueError for an array that is not (K, 3).
    """
    rows, query, first = _concatenate(predictions, 3, "predictions")
    nan = np.isnan(rows[:, 2])
    only_nan = len(np.setdiff1d(query[nan], query[~nan])) if nan.any() else 0
    if only_nan:
        warnings.warn(
            f"{only_nan} of {len(first)} queries have only NaN scores; their order is kept",
            stacklevel=3,
        )
    scores = np.where(nan, -np.inf, rows[:, 2])
    if _rises(scores, query).any():
        rows = rows[np.lexsort((-scores, query))]
    return _pad(rows, query, first, n)


def pad_truths(truths: PerQuery) -> np.ndarray:
    """The truths of Q queries as one array (Q, A, 2), padded with NaN.

    Raises ValueError for an array that is not (A, 2).
    """
    return pad_rows(truths, 2, "truths")


def pad_rows(arrays: PerQuery, width: int, what: str) -> np.ndarray:
    """Q arrays (n, width) as one float64 array (Q, N, width), N at least 1, padded with NaN.

    Raises ValueError that says `what` has another shape.
    """
    rows, query, first = _concatenate(arrays, width, what)
    most = np.bincount(query, minlength=1).max()
    return _pad(rows, query, first, max(most, 1))


def rising_scores(predictions: PerQuery, width: int = 3) -> np.ndarray:
    """True, (Q,), where a query lists a prediction after one with a lower score, its last number.

    predictions are Q arrays (K, width). Raises ValueError for an array of another shape.
    """
    rows, query, first = _concatenate(predictions, width, "predictions")
    return np.bincount(query[1:][_rises(rows[:, -1], query)], minlength=len(first)) > 0


def _rises(scores: np.ndarray, query: np.ndarray) -> np.ndarray:
    """True, (R - 1,), where a score (R,) is larger than the one before it of the same query."""
    return (scores[1:] > scores[:-1]) & (query[1:] == query[:-1])


def has_valid_truth(truths: PerQuery) -> np.ndarray:
    """True, (Q,), where at least one truth of a query is finite and ends after it starts."""
    padded = pad_truths(truths)
    return np.any(temporal_iou(padded, padded) > 0, axis=-1)


def moment_metrics(
    predictions: PerQuery,
    truths: PerQuery,
    durations: ArrayLike | None = None,
    *,
    drop_invalid_gt: bool = False,
    **settings,
) -> dict[str, float]:
    """R@n,IoU=m, mIoU and, if `discounted`, dR@n,IoU=m of Q queries, in percent.

    It is the mean of `query_metrics`, whose `settings` these are; `drop_invalid_gt` leaves the
    queries without a valid truth out (`has_valid_truth` tells which they are). Raises ValueError as
    it does, and when no query is left.
    """
    found = query_metrics(predictions, truths, durations, **settings)
    kept = has_valid_truth(truths) if drop_invalid_gt else np.ones(len(truths), bool)
    if not kept.any():
        raise ValueError("there is no query to score")
    return {name: 100 * float(np.mean(values[kept])) for name, values in found.items()}


def query_metrics(
    predictions: PerQuery,
    truths: PerQuery,
    durations: ArrayLike | None = None,
    *,
    ranks: Sequence[int] = RANKS,
    thresholds: Sequence[float] = THRESHOLDS,
    discounted: bool = False,
    iou_cmp: str = "ge",
    added: Callable[[PerQuery, PerQuery], dict[str, np.ndarray]] | None = None,
) -> dict[str, np.ndarray]:
    """R@n,IoU=m, IoU of the best moment as mIoU and, if `discounted`, dR@n,IoU=m; (Q,) each.

    predictions are Q arrays (K, 3) and truths Q arrays (A, 2), see the module; durations are
    (Q,) seconds, needed by the discount alone. A query without predictions, or without a
    valid truth, counts as a miss. `iou_cmp` is "ge" or "gt". dR is, for n > 1, the maximum over
    the first n predictions. `added` makes further metrics of predictions and truths.

    Raises ValueError for lists of different lengths, arrays of another shape, an unknown
    `iou_cmp`, and durations that are not positive.
    """
    if len(predictions) != len(truths):
        raise ValueError(f"{len(predictions)} prediction lists for {len(truths)} queries")
    if iou_cmp not in ("ge", "gt"):
        raise ValueError(f'iou_cmp is {iou_cmp!r}; use "ge" or "gt"')
    best = rank_predictions(predictions, max(ranks))[:, :, None, :2]  # (Q, n, 1, 2)
    true = pad_truths(truths)[:, None]  # (Q, 1, A, 2)
    iou = temporal_iou(best, true)  # (Q, n, A)

    metrics = {}
    for n in ranks:
        top = iou[:, :n].max(axis=(1, 2))
        for m in thresholds:
            metrics[f"R@{n},IoU={m:g}"] = reaches(top, m, iou_cmp).astype(np.float64)
    metrics["mIoU"] = iou[:, 0].max(axis=-1)
    if discounted:
        discount = _discount(best, true, durations)
        for n in ranks:
            for m in thresholds:
                credit = np.where(reaches(iou, m, iou_cmp), discount, 0.0)
                metrics[f"dR@{n},IoU={m:g}"] = credit[:, :n].max(axis=(1, 2))
    return metrics | (added(predictions, truths) if added else {})


def _discount(best: np.ndarray, true: np.ndarray, durations: ArrayLike | None) -> np.ndarray:
    """The factor alpha_s * alpha_e of every prediction and truth, (Q, n, A)."""
    seconds = np.asarray([] if durations is None else durations, np.float64)
    if seconds.shape != best.shape[:1]:
        raise ValueError(f"{seconds.size} durations for {len(best)} queries")
    wrong = np.flatnonzero(~((seconds > 0) & np.isfinite(seconds)))
    if wrong.size:
        raise ValueError(
            f"the duration of query {wrong[0]} is {seconds[wrong[0]]} s; discounted recall needs "
            "positive durations"
        )
    with np.errstate(invalid="ignore"):
        alpha = 1 - np.abs(best - true) / seconds[:, None, None, None]
        return np.prod(np.maximum(alpha, 0.0), axis=-1)


def _concatenate(
    arrays: PerQuery, width: int, what: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All rows in one float64 array, the query of each row, and the first row of each query."""
    if isinstance(arrays, np.ndarray) and arrays.ndim == 3 and arrays.shape[2] == width:
        queries, n, _ = arrays.shape
        first = n * np.arange(queries)
        rows = arrays.reshape(-1, width).astype(np.float64)
        return rows, np.repeat(np.arange(queries), n), first
    checked = [
        array
        if type(array) is np.ndarray and array.ndim == 2 and array.shape[1] == width
        else _checked(array, width, f"{what} of query {query}")
        for query, array in enumerate(arrays)
    ]
    sizes = np.array([len(rows) for rows in checked], np.int64)
    rows = np.concatenate([np.zeros((0, width)), *checked])
    return rows, np.repeat(np.arange(len(sizes)), sizes), np.cumsum(sizes) - sizes


def _checked(array: ArrayLike, width: int, what: str) -> np.ndarray:
    """An array as (n, width), an empty one of any shape too; else ValueError says `what` it is."""
    rows = np.asarray(array, np.float64)
    if rows.size == 0:
        return np.zeros((0, width))
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"{what} have shape {rows.shape}, not (n, {width})")
    return rows


def _pad(rows: np.ndarray, query: np.ndarray, first: np.ndarray, n: int) -> np.ndarray:
    """The first n rows of each query, (Q, n, width), padded with NaN. Rows lie query by query."""
    padded = np.full((len(first), n, rows.shape[1]), np.nan)
    place = np.arange(len(rows)) - first[query]
    kept = place < n
    padded[query[kept], place[kept]] = rows[kept]
    return padded
