"""Metrics of a corpus of videos: VR, SVMR and VCMR as TVR's official script, in float64.

But for one case: a video that VR lists again takes no place here, and one in the script. A
prediction is a row of video, start s, end s, score. Source: docs/metrics.md, Moments
in a corpus; jayleicn/TVRetrieval, standalone_eval/eval.py, which computes in float32.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike

from vmr_jax.metrics.moments import PerQuery, pad_rows, pad_truths, reaches, temporal_iou

if TYPE_CHECKING:  # it imports JAX, which a score of files does without
    from vmr_jax.types import Moments

TASKS = ("VR", "SVMR", "VCMR")  # videos; moments in the true video; moments in the corpus
RANKS = (1, 5, 10, 100)
THRESHOLDS = (0.5, 0.7)
MOST = 100  # predictions of a query that count
ANNOTATORS = 4  # with so many true intervals, as in DiDeMo, a moment must agree with AGREEING
AGREEING = 2


def corpus_metrics(
    tasks: Mapping[str, Moments | PerQuery],
    video: ArrayLike,
    truths: PerQuery,
    query_ids: Sequence[str] | None = None,
) -> dict[str, float]:
    """The metrics of each task in `tasks` for Q queries, in percent: means of `corpus_recalls`."""
    found = corpus_recalls(tasks, video, truths, query_ids)
    return {name: 100 * float(np.mean(values)) for name, values in found.items()}


def corpus_recalls(
    tasks: Mapping[str, Moments | PerQuery],
    video: ArrayLike,
    truths: PerQuery,
    query_ids: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """The recalls of each task in `tasks` of each of Q queries, (Q,) of 0 and 1; SumR to 4.

    `tasks` maps some of TASKS to predictions as `rank_rows` takes them, `video` (Q,) are the true
    videos by the same numbers, truths are Q arrays (A, 2) in seconds. `query_ids` name the
    queries in errors, else their places do.

    VR/R@K: the true video is among the first K different ones; start and end do not count.
    VR/SumR: the sum over K. VCMR/R@K,IoU=p: one of the first K predictions is in the true video
    and reaches p (`agreed_iou`). SVMR/R@K,IoU=p: the same with the predictions in other videos
    taken away, after the cut at MOST. Missing predictions are misses.

    Raises ValueError for an unknown task, lists of different lengths, rows of another width, no
    query, and a query without a true moment or video (hidden labels).
    """
    unknown = [task for task in tasks if task not in TASKS]
    if unknown:
        raise ValueError(f"unknown task {unknown[0]!r}; known are {', '.join(TASKS)}")
    video = np.asarray(video, np.int64)
    if not len(truths) or len(video) != len(truths):
        raise ValueError(f"{len(video)} true videos for {len(truths)} queries; both need one")
    _refuse_hidden(video, truths, query_ids)
    metrics: dict[str, np.ndarray] = {}
    for task in (task for task in TASKS if task in tasks):
        rows = rank_rows(tasks[task])
        if len(rows) != len(truths):
            raise ValueError(f"{len(rows)} prediction lists of {task} for {len(truths)} queries")
        if task == "VR":
            metrics |= recalls(_place_of_video(rows[..., 0], video), "VR/R@{}")
            metrics["VR/SumR"] = np.sum(list(metrics.values()), axis=0)
            continue
        rows = rows[:, :MOST]
        there = rows[..., 0] == video[:, None]
        iou = np.where(there, agreed_iou(rows[..., 1:3], truths), 0.0)
        place = np.cumsum(there if task == "SVMR" else np.ones_like(there), axis=1)
        for p in THRESHOLDS:
            metrics |= recalls(first_place(reaches(iou, p), place), f"{task}/R@{{}},IoU={p:g}")
    return metrics


def rank_rows(predictions: Moments | PerQuery) -> np.ndarray:
    """Predictions of Q queries as (Q, K, 4) of video, start s, end s, score, padded with NaN.

    `predictions` are Moments with videos, or Q arrays (n, 4), best first. Their order counts, as
    in TVR's script, not the scores; but rows whose score is NaN or -inf go to the end. Warns of
    queries that have only NaN scores. Raises ValueError for other shapes, and Moments without
    videos.
    """
    if _is_moments(predictions):
        if predictions.video is None:
            raise ValueError("these moments name no videos: they are not of a corpus")
        columns = (predictions.video, predictions.start, predictions.end, predictions.score)
        found = np.stack([np.asarray(column, np.float64) for column in columns], axis=-1)
    else:
        found = cast(PerQuery, predictions)
    rows = pad_rows(found, 4, "predictions")
    real, nan = ~np.isnan(rows[..., 0]), np.isnan(rows[..., 3])
    only_nan = np.sum(real.any(axis=1) & (nan | ~real).all(axis=1))
    if only_nan:
        warnings.warn(
            f"{only_nan} of {len(rows)} queries have only NaN scores; their order is kept",
            stacklevel=2,
        )
    order = np.argsort(~(rows[..., 3] > -np.inf), axis=1, kind="stable")
    return np.take_along_axis(rows, order[..., None], axis=1)


def _is_moments(predictions: Moments | PerQuery) -> TypeGuard[Moments]:
    """Tell Moments from arrays by a field, so that nothing need import JAX."""
    return hasattr(predictions, "score")


def agreed_iou(moments: np.ndarray, truths: PerQuery) -> np.ndarray:
    """The IoU that moments (Q, K, 2) have with enough of their query's truths, (Q, K).

    It is the largest with any of a query's truths (A, 2), and the second largest where there are
    ANNOTATORS or more: DiDeMo's two annotators that must agree.
    """
    iou = np.sort(temporal_iou(moments[:, :, None], pad_truths(truths)[:, None]), axis=-1)
    several = np.array([len(rows) for rows in truths]) >= ANNOTATORS
    return np.where(several[:, None], iou[..., -min(AGREEING, iou.shape[-1])], iou[..., -1])


def first_place(correct: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The smallest place (Q, K) of a correct (Q, K) prediction, (Q,); inf where there is none."""
    return np.where(correct, place, np.inf).min(axis=1)


def recalls(place: np.ndarray, name: str) -> dict[str, np.ndarray]:
    """Whether places (Q,) are among the first K, for K in RANKS; `name` takes K."""
    return {name.format(k): (place <= k).astype(np.float64) for k in RANKS}


def _place_of_video(ranked: np.ndarray, video: np.ndarray) -> np.ndarray:
    """The place of the true video (Q,) among the different videos of a ranking (Q, K)."""
    order = np.argsort(ranked, axis=1, kind="stable")
    grouped = np.take_along_axis(ranked, order, axis=1)
    first = np.ones_like(grouped, bool)
    first[:, 1:] = grouped[:, 1:] != grouped[:, :-1]
    new = np.empty_like(first)
    np.put_along_axis(new, order, first, axis=1)
    new &= ranked >= 0  # neither NaN nor -1, the padding
    return first_place(new & (ranked == video[:, None]), np.cumsum(new, axis=1))


def _refuse_hidden(video: np.ndarray, truths: PerQuery, query_ids: Sequence[str] | None) -> None:
    """Raise ValueError if a query has no true moment or no true video (Q,)."""
    hidden = np.flatnonzero((np.array([len(rows) for rows in truths]) == 0) | (video < 0))
    if len(hidden):
        name = hidden[0] if query_ids is None else query_ids[hidden[0]]
        raise ValueError(
            f"{len(hidden)} of {len(truths)} queries have no true video or moment, e.g. query "
            f"{name}: where the labels are hidden nothing can be scored"
        )
