"""DiDeMo's own metric, and the rankings of its moments that see neither video nor query.

A video has five or six segments of SEGMENT seconds; a moment is a run of whole segments. Source:
docs/metrics.md, DiDeMo; Hendricks et al. (2017), evaluation of
LisaAnne/LocalizingMoments. Predictions and truths are as in `metrics.moments`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from vmr_jax.metrics.moments import (
    PerQuery,
    moment_metrics,
    pad_truths,
    query_metrics,
    rank_predictions,
    temporal_iou,
)

SEGMENT = 5.0  # seconds
SEGMENTS = 6  # of the longest video
TOLERANCE = 0.01  # of a segment, how far from the grid a boundary may lie
RULES = {"official": 3, "any": 1}  # how many of a query's annotators count, the best ones
# (21, 2) inclusive segment indices, in the order of the official script: single segments first.
MOMENTS = np.array(
    [(i, i) for i in range(SEGMENTS)]
    + [(i, j) for i in range(SEGMENTS) for j in range(i + 1, SEGMENTS)]
)


def didemo_metrics(
    predictions: PerQuery,
    truths: PerQuery,
    rule: str,
    query_ids: Sequence[str] | None = None,
) -> dict[str, float]:
    """rank@1, rank@5 and mIoU of Q queries, in percent: means of `didemo_query_metrics`."""
    found = didemo_query_metrics(predictions, truths, rule, query_ids)
    return {name: 100 * float(np.mean(values)) for name, values in found.items()}


def didemo_query_metrics(
    predictions: PerQuery,
    truths: PerQuery,
    rule: str,
    query_ids: Sequence[str] | None = None,
) -> dict[str, np.ndarray]:
    """rank@1 and rank@5 of each of Q queries, (Q,) of 0 and 1, and its IoU as mIoU.

    With the rule "official", a query's rank is the mean of the three smallest ranks that its
    annotators' moments have, and its IoU the mean of the three largest of the first moment with
    them (all, where there are fewer than three). With "any" it is the best annotator's. Equal
    scores keep their order. `query_ids` name the queries in errors, else their places do.

    Raises ValueError for an unknown rule, lists of different lengths, arrays of another shape,
    a moment that is not whole segments, a query without an annotated moment, and an annotated
    moment that is not in the ranking.
    """
    if rule not in RULES:
        raise ValueError(f"the rule is {rule!r}; it must be one of {', '.join(RULES)}")
    if len(predictions) != len(truths):
        raise ValueError(f"{len(predictions)} prediction lists for {len(truths)} queries")
    if not len(truths):
        raise ValueError("there is no query to score")
    names = range(len(truths)) if query_ids is None else query_ids
    marked = annotated_segments(truths, names)[:, None]  # (Q, 1, A, 2)
    listed = np.array([len(rows) for rows in predictions])
    ranked = rank_predictions(predictions, max(listed.max(), 1))[..., :2]  # (Q, K, 2)
    ranked = _whole_segments(ranked, listed, "predicted", names)[:, :, None]  # (Q, K, 1, 2)

    annotators = np.array([len(rows) for rows in truths])
    real = np.arange(marked.shape[2]) < annotators[:, None]  # (Q, A)
    found = (ranked == marked).all(axis=-1) & real[:, None]  # (Q, K, A)
    _refuse_unranked(real & ~found.any(axis=1), truths, listed, names)
    rank = np.where(real, 1 + found.argmax(axis=1), np.inf)
    edges = (0, 1)  # from the last segment to where it ends
    iou = np.where(real, temporal_iou(ranked[:, 0] + edges, marked[:, 0] + edges), -np.inf)

    counting = np.minimum(RULES[rule], annotators)
    rank = _mean_of_first(np.sort(rank, axis=1), counting)
    iou = _mean_of_first(-np.sort(-iou, axis=1), counting)
    return {
        "rank@1": (rank <= 1).astype(np.float64),
        "rank@5": (rank <= 5).astype(np.float64),
        "mIoU": iou,
    }


def split_metrics(
    predictions: PerQuery,
    truths: PerQuery,
    durations: ArrayLike | None = None,
    *,
    didemo: str = "",
    query_ids: Sequence[str] | None = None,
    **settings,
) -> dict[str, float]:
    """`moment_metrics` and, where `didemo` is one of RULES, `didemo_metrics`, in percent.

    `settings` are those of `moment_metrics`. DiDeMo's mIoU takes the place of the other one.
    Raises ValueError as both do.
    """
    metrics = moment_metrics(predictions, truths, durations, **settings)
    if didemo:
        metrics.pop("mIoU")
        metrics |= didemo_metrics(predictions, truths, didemo, query_ids)
    return metrics


def split_query_metrics(
    predictions: PerQuery, truths: PerQuery, durations: ArrayLike, *, didemo: str = "", **settings
) -> dict[str, np.ndarray]:
    """What `split_metrics` is the mean of: `query_metrics` and `didemo_query_metrics`, (Q,) each.

    In [0, 1]; all queries are there, and those that `drop_invalid_gt` would leave out are misses.
    """
    found = query_metrics(predictions, truths, durations, **settings)
    if didemo:
        found.pop("mIoU")
        found |= didemo_query_metrics(predictions, truths, didemo)
    return found


def legend(rule: str) -> str:
    """The line under a table of `split_metrics` that says whose annotations count."""
    counting = {"official": "mean of the best three annotators (official)", "any": "best annotator"}
    return f"rank@1, rank@5, mIoU: {counting[rule]}; R@n,IoU=m: best annotator"


def annotated_segments(truths: PerQuery, names: Sequence) -> np.ndarray:
    """The annotated moments of Q queries as inclusive segment indices (Q, A, 2), padded with -1.

    `names` are the queries' in errors. Raises ValueError for a query without a moment, and for a
    moment that is not whole segments.
    """
    annotators = np.array([len(rows) for rows in truths])
    if not annotators.all():
        raise ValueError(f"query {names[int(annotators.argmin())]} has no annotated moment")
    return _whole_segments(pad_truths(truths), annotators, "annotated", names)


def moment_frequency_prior(train_truths: PerQuery) -> np.ndarray:
    """The 21 moments by how often annotators marked them, (21, 3) start s, end s, score.

    Each annotator of the Q training queries (A, 2) counts once; the score is a moment's share.
    Equal shares keep the order of MOMENTS. Queries without a moment teach nothing.

    Raises ValueError where no query has a moment, or a moment is not whole segments.
    """
    names = [query for query, rows in enumerate(train_truths) if len(rows)]
    if not names:
        raise ValueError(f"none of {len(train_truths)} training queries has a moment")
    marked = annotated_segments([train_truths[query] for query in names], names)
    count = (marked.reshape(-1, 1, 2) == MOMENTS).all(axis=-1).sum(axis=0)
    order = np.argsort(-count, stable=True)
    return np.column_stack([_seconds(MOMENTS[order]), count[order] / count.sum()])


def random_rankings(queries: int, seed: int) -> np.ndarray:
    """The 21 moments in a random order for each of Q queries, (Q, 21, 3) start s, end s, score."""
    count = len(MOMENTS)
    order = np.tile(np.arange(count), (queries, 1))
    order = np.random.default_rng(seed).permuted(order, axis=1)
    scores = np.broadcast_to(1 - np.arange(count)[:, None] / count, (queries, count, 1))
    return np.concatenate([_seconds(MOMENTS[order]), scores], axis=-1)


def _seconds(segments: np.ndarray) -> np.ndarray:
    """Inclusive segment indices (..., 2) -> start and end in seconds (..., 2)."""
    return SEGMENT * (segments + (0, 1))


def _whole_segments(
    moments: np.ndarray, counts: np.ndarray, what: str, names: Sequence
) -> np.ndarray:
    """Moments (Q, n, 2) in seconds, `counts` (Q,) of them real -> inclusive segment indices.

    Padding becomes -1. Raises ValueError that names the first real moment off the grid.
    """
    edges = moments / SEGMENT
    nearest = np.round(edges)
    whole = np.isclose(edges, nearest, rtol=0, atol=TOLERANCE).all(axis=-1)
    whole &= (nearest[..., 0] >= 0) & (nearest[..., 1] <= SEGMENTS)
    whole &= nearest[..., 0] < nearest[..., 1]
    real = np.arange(moments.shape[1]) < counts[:, None]
    wrong = np.argwhere(real & ~whole)
    if len(wrong):
        query, row = wrong[0]
        start, end = moments[query, row]
        raise ValueError(
            f"the {what} moment [{start:g}, {end:g}] s of query {names[query]} is not made of "
            f"DiDeMo's segments of {SEGMENT:g} s, {SEGMENTS} at most: its metric needs features "
            f"of one row a segment, durations of whole segments, and moments on this grid"
        )
    return np.where(whole[..., None], nearest - (0, 1), -1).astype(np.int64)


def _refuse_unranked(
    unranked: np.ndarray, truths: PerQuery, listed: np.ndarray, names: Sequence
) -> None:
    """Raise ValueError if an annotated moment (Q, A) is in no place of its query's ranking."""
    missing = np.argwhere(unranked)
    if not len(missing):
        return
    query, row = missing[0]
    start, end = np.asarray(truths[query])[row]
    raise ValueError(
        f"{unranked.any(axis=1).sum()} of {len(truths)} queries do not rank each annotated moment, "
        f"e.g. query {names[query]} not [{start:g}, {end:g}] s among its {listed[query]}: DiDeMo's "
        f"metric needs a ranking of all {len(MOMENTS)} moments (15 in a video of five segments), "
        "without suppression"
    )


def _mean_of_first(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The mean of the first `counts` (Q,) of each row of (Q, A)."""
    counting = np.arange(values.shape[1]) < counts[:, None]
    return np.where(counting, values, 0.0).sum(axis=1) / counts
