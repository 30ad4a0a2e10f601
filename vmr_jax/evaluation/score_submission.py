"""Score a submission in TVR's format on the corpus of the videos that a split asks about."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from vmr_jax.data.datasets.records import MomentRecord
from vmr_jax.evaluation.breakdown import TYPES
from vmr_jax.evaluation.labels import Labels, count_missing, match, refuse
from vmr_jax.evaluation.report import Report, metrics_table, scored_table
from vmr_jax.evaluation.submission import Submission
from vmr_jax.metrics.intervals import bootstrap_intervals
from vmr_jax.metrics.moments import rising_scores
from vmr_jax.metrics.retrieval import AGREEING, ANNOTATORS, MOST, corpus_recalls
from vmr_jax.metrics.retrieval_baselines import corpus_baselines

_REPEATED = "it takes no place here, and one in TVR's script, whose VR is lower or equal"


def score_submission(submission: Submission, name: str, labels: Labels) -> Report:
    """The report of a submission whose file has this `name`, see `score.score_files`."""
    listed = {task: match(found, labels, 4) for task, found in submission.tasks.items()}
    corpus = list(dict.fromkeys(labels.video.tolist()))
    row_of = _rows_of_videos(submission.video_index, corpus)
    rows = {
        task: [np.column_stack([[row_of[i] for i in own[:, 0]], own[:, 1:]]) for own in lists]
        for task, lists in listed.items()
    }
    row = {video: place for place, video in enumerate(corpus)}
    missing = {task: count_missing(found, labels) for task, found in submission.tasks.items()}
    reached = corpus_recalls(rows, [row[video] for video in labels.video], labels.truths)
    report: dict[str, Any] = {
        "dataset": labels.annotations.name,
        "split": labels.split,
        "queries": len(labels.records),
        "videos": len(corpus),
        "missing": missing,
        "model": _percent(reached, np.ones(len(labels.records), bool)),
    }
    beside = corpus_baselines(labels.truths, labels.durations, len(corpus), labels.training)
    for method, values in beside.items():
        report[method] = {metric: values[metric] for metric in report["model"]}
    report["intervals"] = {"model": bootstrap_intervals(reached, labels.video)}

    shown: list[str | Table] = [*labels.faults]
    for task, lists in listed.items():
        shown += _said_of_lists(task, lists, missing[task])
    shown += scored_table(report, f"{name} on {labels.name}, {len(corpus)} videos")
    if of_types := _by_type(reached, labels.records):
        report["by_type"] = of_types
        sizes = ", ".join(f"{values['queries']} {name}" for name, values in of_types.items())
        columns = {name: {m: of_types[name][m] for m in reached} for name in of_types}
        shown += [f"by what the queries are about: {sizes}", metrics_table(columns)]
    if max(len(windows) for windows in labels.truths) >= ANNOTATORS:
        shown.append(f"SVMR, VCMR: a moment must reach the IoU with {AGREEING} annotators")
    return Report(report, tuple(shown))


def _said_of_lists(task: str, lists: Sequence[np.ndarray], missing: int) -> list[str | Table]:
    """What there is to say of a task's predictions (K, 4) of each query."""
    long = sum(len(own) > MOST for own in lists)
    unsorted = int(rising_scores(lists, 4).sum())
    repeated = sum(len(own) > len(set(own[:, 0])) for own in lists) if task == "VR" else 0
    counted = (
        (missing, "queries have no prediction: they are misses"),
        (repeated, f"queries list a video again: {_REPEATED}"),
        (long, f"queries have more than {MOST} predictions: the rest does not count"),
        (unsorted, "queries are not in the order of their scores: the listed order counts"),
    )
    return [f"{task}: {count} of {len(lists)} {what}" for count, what in counted if count]


def _percent(reached: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, float]:
    """The metrics of the queries at the true `rows` (Q,)."""
    return {name: 100 * float(np.mean(values[rows])) for name, values in reached.items()}


def _by_type(
    reached: Mapping[str, np.ndarray], records: Sequence[MomentRecord]
) -> dict[str, dict[str, Any]]:
    """The metrics of TVR's queries about each of TYPES, with their number; {} of other data."""
    types = np.array([record.modality for record in records])
    return {
        name: {"queries": int(np.sum(types == code)), **_percent(reached, types == code)}
        for code, name in TYPES.items()
        if (types == code).any()
    }


def _rows_of_videos(video_index: Mapping[str, int], corpus: Sequence[str]) -> dict[int, int]:
    """A submission's index of each of its videos -> its row in the corpus, or a new row after it.

    A video's file name counts as its id too (DiDeMo). Raises ValueError for a corpus' video that
    the submission does not have.
    """
    rows = {video: row for row, video in enumerate(corpus)}
    row_of = {}
    for name, index in video_index.items():
        video = name if name in rows else name.rpartition(".")[0]
        row_of[index] = rows.get(video, len(corpus) + index)
    absent = set(rows.values()) - set(row_of.values())
    refuse([corpus[row] for row in sorted(absent)], "true videos that video2idx does not have")
    return row_of
