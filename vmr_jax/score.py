"""Score a prediction file, of this or other code, against a dataset's labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.records import Annotations, MomentRecord
from vmr_jax.data.report import summarise
from vmr_jax.metrics import baselines
from vmr_jax.metrics.average_precision import THRESHOLDS, length_metrics
from vmr_jax.metrics.didemo import didemo_metrics, legend, split_metrics
from vmr_jax.metrics.moments import DISCOUNTED_DATASETS
from vmr_jax.metrics.predictions import read_predictions

_SHOWN = 5  # ids listed in a message


def score_files(
    predictions: Path, labels: Path, dataset: str, split: str, with_map: bool, console: Console
) -> dict[str, Any]:
    """Score a prediction file against one split's labels, print the tables, return the report.

    `dataset` is a reader's name and `labels` what it reads: its annotation directory, or a file
    for "jsonl". `split` may be "" when there is one only. Besides R@n,IoU=m and mIoU there is
    dR@n,IoU=m for the changed-distribution splits, and QVHighlights' mAP if `with_map` or if a
    query of a "jsonl" dataset has several true windows, and for "didemo" its own rank@1, rank@5 and
    mIoU (in place of the other mIoU) if each annotated moment is ranked. A query's predictions are
    ranked by score. Labelled queries without a prediction are misses, and counted.

    Report: {"dataset", "split", "queries", "missing", "model", "random", "location_prior" where
    a training split with labels is at hand, "lengths" with the mAP}; the inner values are in
    percent.

    Raises:
        ValueError: a file is not in its format; the split is not known, has hidden labels or
            repeated ids; a prediction's id is not among the labels.
        FileNotFoundError: a file is not there.
    """
    found = read_predictions(predictions)
    annotations = read_annotations(dataset, labels)
    split = _choose_split(annotations, split)
    records = annotations.splits[split]
    rows = _match(found, records, split)
    missing = sum(record.query_id not in found for record in records)
    truths, durations = _truths(annotations, records)
    settings = {"discounted": dataset in DISCOUNTED_DATASETS}
    if dataset == "didemo":
        settings["didemo"] = _didemo_rule(rows, records, console)

    report = {
        "dataset": dataset,
        "split": split,
        "queries": len(records),
        "missing": missing,
        "model": split_metrics(rows, truths, durations, **settings),
    }
    train = annotations.splits.get("train") if split != "train" else None
    learnt_from = _truths(annotations, train) if train else None
    report |= baselines.baseline_metrics(truths, durations, learnt_from, **settings)
    several = max(len(windows) for windows in truths) > 1
    if with_map or (several and dataset == "jsonl"):
        report["lengths"] = length_metrics(rows, truths)

    _print_faults(annotations, split, console)
    if "location_prior" not in report:
        console.print("no location prior: there is no other split for training that has labels")
    if missing:
        console.print(f"{missing} of {len(records)} queries have no prediction: they are misses")
    methods = [name for name in ("model", "location_prior", "random") if name in report]
    console.print(f"{predictions.name} on {dataset} / {split}: {len(records)} queries")
    console.print(metrics_table({name: report[name] for name in methods}))
    if settings.get("didemo"):
        console.print(legend(settings["didemo"]))
    if "lengths" in report:
        console.print(_lengths_table(report["lengths"]))
    return report


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
    found: Mapping[str, np.ndarray], records: Sequence[MomentRecord], split: str
) -> list[np.ndarray]:
    """The predictions of each labelled query, (K, 3), in the labels' order."""
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
    none = np.zeros((0, 3))
    return [found.get(record.query_id, none) for record in records]


def _didemo_rule(
    rows: Sequence[np.ndarray], records: Sequence[MomentRecord], console: Console
) -> str:
    """The rule "official"; "" and a line that says why where DiDeMo's own metric cannot score."""
    ids = [record.query_id for record in records]
    try:
        didemo_metrics(rows, [record.moments for record in records], "official", ids)
    except ValueError as error:
        console.print(f"without DiDeMo's own metric; below the best annotator counts: {error}")
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


def _print_faults(annotations: Annotations, split: str, console: Console) -> None:
    """Print a line for each kind of fault in the labels, other splits' left out."""
    others = tuple(f"{name} " for name in annotations.splits if name != split)
    own = [fault for fault in annotations.faults if not fault.where.startswith(others)]
    for group in summarise(own):
        repair, where = group["repair"] or "not repaired", group["where"]
        console.print(f"labels: {len(where)} x {group['kind']} ({repair}), e.g. {where[0]}")


def metrics_table(columns: Mapping[str, Mapping[str, float]]) -> Table:
    """A table of percentages: a column for each method, a row for each metric of the first."""
    table = Table("percent")
    for name in columns:
        table.add_column(name, justify="right")
    for metric in next(iter(columns.values())):
        table.add_row(metric, *(f"{values[metric]:.2f}" for values in columns.values()))
    return table


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
