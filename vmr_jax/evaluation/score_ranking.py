"""Score a submission in TVR's format against TVR-Ranking's graded moments."""

from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.data.datasets.tvr_ranking import NAME, read_graded
from vmr_jax.evaluation.query_values import percent
from vmr_jax.evaluation.report import Report, metrics_table
from vmr_jax.evaluation.submission import read_submission
from vmr_jax.input_files import require_file
from vmr_jax.metrics.graded_moments import ndcg_metrics, random_ndcg
from vmr_jax.metrics.intervals import method_intervals

_TASK = "VCMR"


def score_ranking(predictions: Path, labels: Path, split: str = "") -> Report:
    """NDCG of a submission's task VCMR, in percent, beside that of random moments.

    `labels` is the folder of the annotation files. Intervals have queries as units, as the moments
    of one lie in many videos. Queries without predictions have 0, and are counted.

    Raises:
        ValueError: a file is not in its format; the submission has no VCMR, or a query that the
            labels do not have.
        FileNotFoundError: a file is not there.
    """
    submission = read_submission(require_file(predictions, "predictions"))
    asked = read_graded(labels, split)
    if _TASK not in submission.tasks:
        raise ValueError(f"{predictions} has no task {_TASK}, which is scored here")
    listed = submission.tasks[_TASK]
    ids = [query.query_id for query in asked.queries]
    if unknown := sorted(set(listed) - set(ids)):
        raise ValueError(
            f"{len(unknown)} predicted ids that the labels of {asked.split} do not have, e.g. "
            f"{unknown[0]}"
        )
    row = {video: place for place, video in enumerate(asked.durations)}
    row_of = {index: row.get(video, -1) for video, index in submission.video_index.items()}
    relevant = [
        np.column_stack([[row[v] for v in one.videos], one.moments, one.grades]).reshape(-1, 4)
        for one in asked.queries
    ]
    rows = []
    for query in ids:
        own = listed.get(query, np.zeros((0, 4)))
        rows.append(np.column_stack([[row_of[index] for index in own[:, 0]], own[:, 1:]]))
    seconds = np.array(list(asked.durations.values()))
    values = {"model": ndcg_metrics(rows, relevant), "random": random_ndcg(seconds, relevant)}
    report: dict[str, Any] = {
        "dataset": NAME,
        "split": asked.split,
        "queries": len(ids),
        "videos": len(row),
        "missing": {_TASK: len(set(ids) - set(listed))},
        **{name: percent(own) for name, own in values.items()},
        "intervals": method_intervals(values, ids),
    }
    shown = [f"{predictions.name} on {NAME} / {asked.split}: {len(ids)} queries, {len(row)} videos"]
    if missing := report["missing"][_TASK]:
        shown.append(f"{_TASK}: {missing} of {len(ids)} queries have no prediction: they have 0")
    columns = {name: report[name] for name in values}
    return Report(report, (*shown, metrics_table(columns, report["intervals"]["model"])))
