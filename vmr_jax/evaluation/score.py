"""Score a prediction file or a submission, of this or other code, against a dataset's labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.datasets.faults import summarise
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.evaluation.predictions import read_predictions
from vmr_jax.evaluation.report import BASELINES, Report, beside_linear_match, metrics_table
from vmr_jax.evaluation.submission import Submission, is_submission, read_submission
from vmr_jax.metrics import baselines
from vmr_jax.metrics.average_precision import THRESHOLDS, length_metrics
from vmr_jax.metrics.didemo import didemo_metrics, legend, split_metrics
from vmr_jax.metrics.intervals import moment_intervals
from vmr_jax.metrics.moments import DISCOUNTED_DATASETS
from vmr_jax.metrics.retrieval import AGREEING, ANNOTATORS, MOST, corpus_recalls
from vmr_jax.metrics.retrieval_baselines import corpus_baselines

_SHOWN = 5  # ids listed in a message
ORDERS = ("score", "file")  # what ranks a query's predictions
_TYPES = {"v": "video", "t": "subtitles", "vt": "both"}  # of TVR's queries
_REPEATED = "it takes no place here, and one in TVR's script, whose VR is lower or equal"
_SAID_OF_ORDER = {
    "score": "not in the order of their scores: the scores count here, the listed order in the "
    "official tools; --order file takes that",
    "file": "not in the order of their scores: the listed order counts",
}


def score_files(
    predictions: Path,
    labels: Path,
    dataset: str = "jsonl",
    split: str = "",
    with_map: bool = False,
    order: str = "score",
    linear_match: Path | None = None,
) -> Report:
    """Score a prediction file against one split's labels.

    `dataset` is a reader's name and `labels` what it reads: its annotation directory, or a file
    for "jsonl". `split` may be "" when there is one only. Besides R@n,IoU=m and mIoU there is
    dR@n,IoU=m for the changed-distribution splits, and QVHighlights' mAP if `with_map` or if a
    query of a "jsonl" dataset has several true windows, and for "didemo" its own rank@1, rank@5 and
    mIoU (in place of the other mIoU) if each annotated moment is ranked. A query's predictions are
    ranked by score, or, with order="file", as they are listed; where the two differ, that is said.
    Labelled queries without a prediction are misses, and counted. `linear_match` is a prediction
    file to set beside it, such as the one that an evaluation writes.

    A submission in TVR's format (told by its first key) is scored by `corpus_metrics` instead, on
    the corpus of the videos that the split's queries are about: VR, SVMR and VCMR, those that it
    has. There the listed order counts, not the score, and "missing" is a number for each task.

    Report.values: {"dataset", "split", "queries", "missing", "model", "random", "location_prior"
    where a training split with labels is at hand, "linear_match" where it is given, "intervals",
    "lengths" with the mAP}; the inner values are in percent.

    Raises:
        ValueError: a file is not in its format; the split is not known, has hidden labels or
            repeated ids; a prediction's id is not among the labels; a submission does not know a
            true video, or `with_map` or `linear_match` is asked of it.
        FileNotFoundError: a file is not there.
    """
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
    if is_submission(predictions):
        if with_map:
            raise ValueError(f"{predictions} is a submission for a corpus: --map does not apply")
        if linear_match is not None:
            raise ValueError(
                f"{predictions} is a submission for a corpus: --linear-match does not apply"
            )
        submission = read_submission(predictions)
        annotations = read_annotations(dataset, labels)
        split = _choose_split(annotations, split)
        return _score_submission(submission, predictions.name, annotations, split)
    found = read_predictions(predictions)
    annotations = read_annotations(dataset, labels)
    split = _choose_split(annotations, split)
    records = annotations.splits[split]
    rows = _match(found, records, split)
    unsorted = sum(_is_unsorted(own) for own in rows)
    if order == "file":
        rows = [_ranked_as_listed(own) for own in rows]
    missing = sum(record.query_id not in found for record in records)
    truths, durations = _truths(annotations, records)
    settings: dict[str, Any] = {"discounted": dataset in DISCOUNTED_DATASETS}
    shown: list[str | Table] = []
    if dataset == "didemo":
        settings["didemo"] = _didemo_rule(rows, records, shown)

    report = {
        "dataset": dataset,
        "split": split,
        "queries": len(records),
        "missing": missing,
        "model": split_metrics(rows, truths, durations, **settings),
    }
    learnt_from = _training(annotations, split)
    report |= baselines.baseline_metrics(truths, durations, learnt_from, **settings)
    linear = None
    if linear_match is not None:
        linear = _match(read_predictions(linear_match), records, split)
        report["linear_match"] = split_metrics(linear, truths, durations, **settings)
    video = np.array([record.video_id for record in records])
    report["intervals"] = moment_intervals(rows, linear, truths, durations, video, **settings)
    several = max(len(windows) for windows in truths) > 1
    if with_map or (several and dataset == "jsonl"):
        report["lengths"] = length_metrics(rows, truths)

    shown += _faults(annotations, split)
    if missing:
        shown.append(f"{missing} of {len(records)} queries have no prediction: they are misses")
    if unsorted:
        shown.append(f"{unsorted} of {len(records)} queries are {_SAID_OF_ORDER[order]}")
    shown += _table(report, f"{predictions.name} on {dataset} / {split}")
    if settings.get("didemo"):
        shown.append(legend(settings["didemo"]))
    if "lengths" in report:
        shown.append(_lengths_table(report["lengths"]))
    return Report(report, tuple(shown))


def _score_submission(
    submission: Submission, name: str, annotations: Annotations, split: str
) -> Report:
    """The report of a submission, see `score_files`."""
    records = annotations.splits[split]
    truths, durations = _truths(annotations, records)
    listed = {task: _match(found, records, split, 4) for task, found in submission.tasks.items()}
    corpus = list(dict.fromkeys(record.video_id for record in records))
    row_of = _rows_of_videos(submission.video_index, corpus)
    rows = {
        task: [np.column_stack([[row_of[i] for i in own[:, 0]], own[:, 1:]]) for own in lists]
        for task, lists in listed.items()
    }
    row = {video: place for place, video in enumerate(corpus)}
    missing = {
        task: sum(record.query_id not in found for record in records)
        for task, found in submission.tasks.items()
    }
    reached = corpus_recalls(rows, [row[record.video_id] for record in records], truths)
    report: dict[str, Any] = {
        "dataset": annotations.name,
        "split": split,
        "queries": len(records),
        "videos": len(corpus),
        "missing": missing,
        "model": _percent(reached, np.ones(len(records), bool)),
    }
    learnt_from = _training(annotations, split)
    for method, values in corpus_baselines(truths, durations, len(corpus), learnt_from).items():
        report[method] = {metric: values[metric] for metric in report["model"]}

    shown: list[str | Table] = _faults(annotations, split)
    for task, lists in listed.items():
        long = sum(len(own) > MOST for own in lists)
        unsorted = sum(map(_is_unsorted, lists))
        repeated = sum(len(own) > len(set(own[:, 0])) for own in lists) if task == "VR" else 0
        for count, what in (
            (missing[task], "queries have no prediction: they are misses"),
            (repeated, f"queries list a video again: {_REPEATED}"),
            (long, f"queries have more than {MOST} predictions: the rest does not count"),
            (unsorted, "queries are not in the order of their scores: the listed order counts"),
        ):
            if count:
                shown.append(f"{task}: {count} of {len(records)} {what}")
    shown += _table(report, f"{name} on {annotations.name} / {split}, {len(corpus)} videos")
    if of_types := _by_type(reached, records):
        report["by_type"] = of_types
        sizes = ", ".join(f"{values['queries']} {name}" for name, values in of_types.items())
        columns = {name: {m: of_types[name][m] for m in reached} for name in of_types}
        shown += [f"by what the queries are about: {sizes}", metrics_table(columns)]
    if max(len(windows) for windows in truths) >= ANNOTATORS:
        shown.append(f"SVMR, VCMR: a moment must reach the IoU with {AGREEING} annotators")
    return Report(report, tuple(shown))


def _percent(reached: Mapping[str, np.ndarray], rows: np.ndarray) -> dict[str, float]:
    """The metrics of the queries at the true `rows` (Q,)."""
    return {name: 100 * float(np.mean(values[rows])) for name, values in reached.items()}


def _by_type(
    reached: Mapping[str, np.ndarray], records: Sequence[MomentRecord]
) -> dict[str, dict[str, Any]]:
    """The metrics of TVR's queries about each of _TYPES, with their number; {} of other data."""
    types = np.array([record.modality for record in records])
    return {
        name: {"queries": int(np.sum(types == code)), **_percent(reached, types == code)}
        for code, name in _TYPES.items()
        if (types == code).any()
    }


def _is_unsorted(rows: np.ndarray) -> bool:
    """Tell whether the scores, the last column of (K, n), do not fall."""
    return bool((np.diff(rows[:, -1]) > 0).any())


def _ranked_as_listed(rows: np.ndarray) -> np.ndarray:
    """Predictions (K, 3) with scores that fall in the order of the rows."""
    return np.column_stack([rows[:, :2], -np.arange(len(rows))])


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
    _refuse([corpus[row] for row in sorted(absent)], "true videos that video2idx does not have")
    return row_of


def _choose_split(annotations: Annotations, split: str) -> str:
    """The split that was asked for, or the only one."""
    known = ", ".join(annotations.splits)
    if split:
        if split not in annotations.splits:
            raise ValueError(f"{annotations.name} has no split {split!r} here; it has {known}")
        return split
    if len(annotations.splits) > 1:
        raise ValueError(f"several splits are there; choose one with --split: {known}")
    return next(iter(annotations.splits))


def _match(
    found: Mapping[str, np.ndarray], records: Sequence[MomentRecord], split: str, width: int = 3
) -> list[np.ndarray]:
    """The predictions of each labelled query, (K, width), in the labels' order."""
    if not records:
        raise ValueError(f"{split} has no queries")
    counts = Counter(record.query_id for record in records)
    _refuse(
        [i for i, n in counts.items() if n > 1], f"ids that come twice in the labels of {split}"
    )
    unknown = [qid for qid in found if qid not in counts]
    _refuse(unknown, f"predicted ids that the labels of {split} do not have")
    hidden = [record.query_id for record in records if not len(record.moments)]
    _refuse(hidden, f"queries of {split} whose labels are hidden; they cannot be scored")
    none = np.zeros((0, width))
    return [found.get(record.query_id, none) for record in records]


def _didemo_rule(
    rows: Sequence[np.ndarray], records: Sequence[MomentRecord], shown: list[str | Table]
) -> str:
    """The rule "official"; where DiDeMo's own metric cannot score, "" and why in `shown`."""
    ids = [record.query_id for record in records]
    try:
        didemo_metrics(rows, [record.moments for record in records], "official", ids)
    except ValueError as error:
        shown.append(f"without DiDeMo's own metric; below the best annotator counts: {error}")
        return ""
    return "official"


def _refuse(ids: Sequence[str], what: str) -> None:
    """Raise ValueError that lists the first of some ids, if there are any."""
    if ids:
        dots = ", ..." if len(ids) > _SHOWN else ""
        raise ValueError(f"{len(ids)} {what}: {', '.join(ids[:_SHOWN])}{dots}")


def _truths(
    annotations: Annotations, records: Sequence[MomentRecord]
) -> tuple[list[np.ndarray], np.ndarray]:
    """True moments (A, 2) and duration (Q,) of each query, seconds; NaN where none is known."""
    durations = [annotations.durations.get(record.video_id, np.nan) for record in records]
    return [record.moments for record in records], np.array(durations)


def _training(annotations: Annotations, split: str) -> tuple[list[np.ndarray], np.ndarray] | None:
    """The truths and durations of the training split, unless it is what is scored or not there."""
    train = annotations.splits.get("train") if split != "train" else None
    return _truths(annotations, train) if train else None


def _table(report: Mapping[str, Any], title: str) -> list[str | Table]:
    """The table of a report beside its baselines, and what there is to say of them."""
    lines: list[str | Table] = []
    if "location_prior" not in report:
        lines.append("no location prior: there is no other split for training that has labels")
    methods = [name for name in ("model", *BASELINES) if name in report]
    title = f"{title}: {report['queries']} queries"
    columns = {name: report[name] for name in methods}
    intervals = report.get("intervals", {})
    lines += [title, metrics_table(columns, intervals.get("model"))]
    return [*lines, beside_linear_match(report)] if "linear_match" in report else lines


def _faults(annotations: Annotations, split: str) -> list[str | Table]:
    """A line for each kind of fault in the labels, other splits' left out."""
    others = tuple(f"{name} " for name in annotations.splits if name != split)
    own = [fault for fault in annotations.faults if not fault.where.startswith(others)]
    lines: list[str | Table] = []
    for group in summarise(own):
        repair, where = group["repair"] or "not repaired", group["where"]
        lines.append(f"labels: {len(where)} x {group['kind']} ({repair}), e.g. {where[0]}")
    return lines


def _lengths_table(lengths: Mapping[str, Mapping[str, float]]) -> Table:
    """mAP and R@1 by IoU threshold and length of the true windows."""
    table = Table("IoU", title="QVHighlights' mAP / R@1, by length of the true windows")
    for name, values in lengths.items():
        table.add_column(f"{name}\n{values['queries']} queries", justify="right")
    for m in THRESHOLDS:
        cells = (
            f"{values[f'mAP@{m:g}']:.2f} / {values[f'R@1,IoU={m:g}']:.2f}"
            for values in lengths.values()
        )
        table.add_row(f"{m:g}", *cells)
    table.add_row("average", *(f"{values['mAP']:.2f}" for values in lengths.values()))
    return table
