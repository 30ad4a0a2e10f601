"""What each metric says of each query of a prediction file: the figures before the mean."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from vmr_jax.evaluation.labels import Labels, match, ratings_of
from vmr_jax.evaluation.predictions import Predictions
from vmr_jax.metrics.average_precision import length_values
from vmr_jax.metrics.didemo import didemo_query_metrics
from vmr_jax.metrics.highlights import highlight_metrics
from vmr_jax.metrics.moments import DISCOUNTED_DATASETS, query_metrics, rising_scores

ORDERS = ("score", "file")  # what ranks a query's predictions


class QueryValues(NamedTuple):
    """The metrics of Q queries, each (Q,) in [0, 1]; NaN where a metric does not count a query."""

    moments: dict[str, np.ndarray]  # R@n,IoU=m, mIoU, dR@n,IoU=m, DiDeMo's
    lengths: dict[str, dict[str, np.ndarray]]  # QVHighlights' mAP and R@1 by length, or {}
    highlights: dict[str, np.ndarray]  # QVHighlights' HL-mAP and HL-Hit1, or {}
    windows: list[np.ndarray]  # Q arrays (K, 3) as they were ranked
    unsorted: int  # queries whose windows are not listed by score
    without_rule: str  # why DiDeMo's own metric cannot be had, or ""

    @property
    def all(self) -> dict[str, np.ndarray]:
        """The metrics of all lengths: those of moments, mAP, mAP@0.5, mAP@0.75, highlights."""
        full = self.lengths.get("full", {})
        precision = {name: full[name] for name in ("mAP", "mAP@0.5", "mAP@0.75") if full}
        return self.moments | precision | self.highlights


def query_values(
    found: Predictions, labels: Labels, order: str = "score", with_map: bool = False
) -> QueryValues:
    """The metrics of each labelled query of a prediction file.

    Which there are depends on the labels: dR for the changed-distribution splits, DiDeMo's own for
    "didemo" (in place of the other mIoU) if each annotated moment is ranked, QVHighlights' mAP
    `with_map` or where a query has several true windows, its highlights where the labels hold
    ratings and the file `pred_saliency_scores`. `order` is one of ORDERS. A query without a
    prediction has 0.

    Raises ValueError for another order, and for ids that the labels do not have.
    """
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
    windows = match(found.windows, labels)
    unsorted = int(rising_scores(windows).sum())
    if order == "file":
        windows = [_ranked_as_listed(own) for own in windows]
    name = labels.annotations.name
    discounted = name in DISCOUNTED_DATASETS
    moments = query_metrics(windows, labels.truths, labels.durations, discounted=discounted)
    of_didemo, without_rule = _didemo_values(windows, labels)
    if of_didemo:
        moments.pop("mIoU")
    several = max(len(true) for true in labels.truths) > 1 and name != "didemo"
    lengths = length_values(windows, labels.truths) if with_map or several else {}
    highlights = _highlights(found.saliency, labels)
    return QueryValues(moments | of_didemo, lengths, highlights, windows, unsorted, without_rule)


def percent(values: Mapping[str, np.ndarray], kept: np.ndarray | None = None) -> dict[str, float]:
    """The mean of each metric over the queries that it counts, in percent.

    `kept` (Q,) leaves the other queries out of all metrics.
    """
    of_kept = slice(None) if kept is None else kept
    return {name: 100 * float(np.nanmean(column[of_kept])) for name, column in values.items()}


def _didemo_values(windows: list[np.ndarray], labels: Labels) -> tuple[dict[str, np.ndarray], str]:
    """DiDeMo's own metric; {} for other data, and with the reason where it cannot be had."""
    if labels.annotations.name != "didemo":
        return {}, ""
    ids = [record.query_id for record in labels.records]
    try:
        return didemo_query_metrics(windows, labels.truths, "official", ids), ""
    except ValueError as error:
        return {}, str(error)


def _highlights(saliency: Mapping[str, np.ndarray], labels: Labels) -> dict[str, np.ndarray]:
    """HL-mAP and HL-Hit1 of each query, {} where there are no ratings or no saliency."""
    ratings = ratings_of(labels.records)
    if not (saliency and any(map(len, ratings))):
        return {}
    none = np.zeros(0)
    given = [saliency.get(record.query_id, none) for record in labels.records]
    return highlight_metrics(given, ratings)


def _ranked_as_listed(rows: np.ndarray) -> np.ndarray:
    """Predictions (K, 3) with scores that fall in the order of the rows."""
    return np.column_stack([rows[:, :2], -np.arange(len(rows))])
