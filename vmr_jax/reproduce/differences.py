"""Which rows of a table the queries and the seeds do not tell apart from its best one."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax import models
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation.predictions import read_predictions
from vmr_jax.metrics.intervals import seeds_interval
from vmr_jax.metrics.moments import query_metrics
from vmr_jax.types import Config


class RowValues(NamedTuple):
    """What the S runs of a row reach in each of a split's Q queries."""

    where: str  # the split, and what was read of it
    values: dict[str, np.ndarray]  # metric -> (S, Q) in [0, 1]
    video: np.ndarray  # (Q,) the queries' videos


def row_values(where: str, runs: Sequence[tuple[Config, Path]]) -> RowValues | None:
    """The values of a row from the folders of its evaluations, None where they cannot be had.

    They are had of systems that find moments in a given video, all queries of which count.
    """
    found: list[dict[str, np.ndarray]] = []
    video = np.zeros(0)
    for config, folder in runs:
        path = folder / "predictions.jsonl"
        if models.of(config).task != "moments" or not path.exists():
            return None
        if config.metric.drop_invalid_gt or config.metric.didemo:
            return None
        dataset = evaluation_dataset(config)
        table, listed = dataset.splits[config.target.eval_split], read_predictions(path)
        found.append(
            query_metrics(
                [listed[qid] for qid in table.query_id],
                table.moments,
                dataset.videos.duration[table.video],
                discounted=config.metric.discounted,
                iou_cmp=config.metric.iou_cmp,
            )
        )
        video = table.video
    if not found:
        return None
    return RowValues(where, {n: np.stack([run[n] for run in found]) for n in found[0]}, video)


def not_told_apart(rows: Sequence[RowValues | None], metrics: Sequence[str]) -> Iterator[list[str]]:
    """Of each row, the metrics in which it is not told apart from the best row of the same split.

    That is, the interval of their difference over drawn videos and drawn seeds holds 0. The best
    row itself has none.
    """
    for row in rows:
        rivals = [other for other in rows if other and row and other.where == row.where]
        unresolved = []
        for name in metrics:
            if row is None or name not in row.values:
                continue
            best = max(rivals, key=lambda other: other.values[name].mean())
            low, high = seeds_interval(best.values[name], row.values[name], row.video)
            if best is not row and low <= 0 <= high:
                unresolved.append(name)
        yield unresolved
