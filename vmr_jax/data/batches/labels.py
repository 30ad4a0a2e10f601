"""What training learns of queries: one marked moment of each, or all and each clip's saliency."""

import numpy as np

from vmr_jax.data.tables.dataset import MomentTable
from vmr_jax.metrics.highlights import CLIP_SECONDS

ALL = "all"  # the rule by which a query has several moments, not several annotators
_SHOWN = 5  # ids listed in a message


def training_moments(table: MomentTable, rule: str, split: str, name: str) -> np.ndarray:
    """The moment (Q, 2) float32 of each query that training learns, where several are marked.

    `agreed` takes the moment that agrees most with all, by mean IoU. `most_frequent` takes the one
    that most annotators marked, the first of several (PREM P21, as the public code of TVR does for
    DiDeMo).

    Raises:
        ValueError: another rule, or a query has no moment.
    """
    if rule not in _RULES:
        raise ValueError(f"training_moment is {rule!r}; it must be one of {tuple(_RULES)}")
    ids = [i for i, marked in zip(table.query_id, table.moments, strict=True) if not len(marked)]
    if ids:
        dots = ", ..." if len(ids) > _SHOWN else ""
        raise ValueError(
            f"{len(ids)} of {len(table.query_id)} queries of split {split!r} of dataset {name} "
            f"have no labels to train on: {', '.join(ids[:_SHOWN])}{dots}. Mend the labels and "
            "prepare the dataset again, or train on a split with labels"
        )
    return np.stack([_RULES[rule](marked) for marked in table.moments])


def _agreed(marked: np.ndarray) -> np.ndarray:
    """Of (A, 2) marked moments the one with the largest mean IoU with all."""
    start, end = marked.T.astype(np.float64)
    inter = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    hull = np.maximum(end[:, None], end) - np.minimum(start[:, None], start)
    iou = np.clip(inter, 0, None) / np.maximum(hull, 1e-9)
    return marked[iou.mean(axis=1).argmax()].astype(np.float32)


def _most_frequent(marked: np.ndarray) -> np.ndarray:
    """Of (A, 2) marked moments the one that occurs most often, the first of several."""
    counts = (marked[:, None] == marked).all(axis=-1).sum(axis=1)
    return marked[counts.argmax()].astype(np.float32)


def _longest(marked: np.ndarray) -> np.ndarray:
    """Of (A, 2) moments the longest, the first of several."""
    return marked[np.diff(marked, axis=1)[:, 0].argmax()].astype(np.float32)


_RULES = {"agreed": _agreed, "most_frequent": _most_frequent, ALL: _longest}


def every_moment(table: MomentTable) -> np.ndarray:
    """All moments of each query, (Q, A, 2) float32 seconds, padded with NaN."""
    most = max(map(len, table.moments))
    moments = np.full((len(table.moments), most, 2), np.nan, np.float32)
    for row, marked in zip(moments, table.moments, strict=True):
        row[: len(marked)] = marked
    return moments


def clip_saliency(table: MomentTable, duration: np.ndarray, num_clips: np.ndarray) -> np.ndarray:
    """How salient each clip of each query's video is, (Q, N) float32; -1 outside of its moments.

    Inside are clips whose centre is in a moment, at least the one at the middle of the longest.
    There it is the sum of the annotators' ratings of the 2 s at the clip's centre, 1 where a query
    has no ratings. `duration` and `num_clips` (Q,) are those of the queries' videos, of which N is
    the largest.
    """
    found = np.full((len(table.moments), num_clips.max()), -1, np.float32)
    for query, marked in enumerate(table.moments):
        count = int(num_clips[query])
        clip = float(duration[query]) / count
        centre = (np.arange(count) + 0.5) * clip
        inside = np.any((centre >= marked[:, :1]) & (centre < marked[:, 1:]), axis=0)
        inside[min(int(_longest(marked).mean() / clip), count - 1)] = True
        rated = np.ones(1)
        if table.saliency is not None and len(table.saliency[query]):
            rated = table.saliency[query].sum(axis=1)
        row = np.minimum((centre / CLIP_SECONDS).astype(int), len(rated) - 1)
        found[query, :count][inside] = rated[row][inside]
    return found
