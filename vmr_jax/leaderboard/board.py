"""The figures of a leaderboard: all entries on one split, their intervals and their differences."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.answers.files import count_reasons
from vmr_jax.evaluation.breakdown import Groups, breakdown, groups_of
from vmr_jax.evaluation.compare import compare_values
from vmr_jax.evaluation.given import read_given
from vmr_jax.evaluation.labels import Labels, count_missing, read_labels
from vmr_jax.evaluation.query_values import percent, query_values
from vmr_jax.input_files import digest
from vmr_jax.leaderboard.blind import blind_values
from vmr_jax.leaderboard.entries import Entry, read_entries
from vmr_jax.metrics.intervals import bootstrap_intervals
from vmr_jax.progress import Progress, quiet

_FIRST = ("R@1,IoU=0.5", "rank@1")  # the metric that ranks entries: the first that there is
_COMPARED = (*_FIRST, "R@1,IoU=0.7", "mIoU", "mAP")
_LABEL_FILES = (".jsonl", ".json", ".txt", ".csv")


def make_board(
    directory: Path,
    labels: Path,
    dataset: str = "jsonl",
    split: str = "",
    progress: Progress = quiet,
) -> dict[str, Any]:
    """Score every entry of a directory (`read_entries`) against one split's labels.

    {"dataset", "split", "queries", "videos", "labels": [{"file", "sha256"}], "main": the
    metric that ranks, "entries": best first, "pairs"}. An entry has the fields of its card, "file",
    "sha256", "missing" and "unread" {reason: queries}, "metrics" {name: {"value", "interval"}} in
    percent, and "by" as `breakdown` gives it; a baseline, whose "kind" is "baseline", has no file.
    A pair has "first", "second" and "metrics" as `compare_values` gives them. Intervals that are
    not known are None.

    Raises ValueError and FileNotFoundError as `read_entries`, `read_labels` and `read_given` do.
    """
    entries, asked = read_entries(directory), read_labels(labels, dataset, split)
    groups, values, rows = groups_of(asked), {}, []
    for entry in progress(entries, "score", len(entries)):
        row, values[entry.name] = _scored(entry, asked)
        rows.append(row | _figures(values[entry.name], asked, groups))
    for name, found in blind_values(asked).items():
        name = name if name not in values else f"{name} (baseline)"
        values[name] = found
        rows.append({"name": name, "kind": "baseline"} | _figures(found, asked, groups))
    main = next(name for name in _FIRST if name in rows[0]["metrics"])
    rows.sort(key=lambda row: -row["metrics"][main]["value"])
    pairs = list(combinations([row["name"] for row in rows], 2))
    return {
        "dataset": dataset,
        "split": asked.split,
        "queries": len(asked.records),
        "videos": len(set(asked.video)),
        "labels": [{"file": path.name, "sha256": digest(path)} for path in _label_files(labels)],
        "main": main,
        "entries": rows,
        "pairs": [
            _pair(values, first, second, asked.video)
            for first, second in progress(pairs, "compare", len(pairs))
        ],
    }


def _scored(entry: Entry, labels: Labels) -> tuple[dict[str, Any], Mapping[str, np.ndarray]]:
    """What the board says of an entry, and its metrics of each query."""
    given = read_given(entry.file, labels, entry.kind, entry.fps, entry.bins)
    try:
        values = query_values(given.predictions, labels).all
    except ValueError as error:
        raise ValueError(f"{entry.file}: {error}") from error
    row = {
        "name": entry.name,
        "kind": entry.kind,
        "link": entry.link,
        "command": entry.command,
        "note": entry.note,
        "file": f"{entry.file.parent.name}/{entry.file.name}",
        "sha256": digest(entry.file),
        "missing": count_missing(given.predictions.windows, labels),
        "unread": count_reasons(given.unread),
    }
    return row, values


def _figures(values: Mapping[str, np.ndarray], labels: Labels, groups: Groups) -> dict[str, Any]:
    """The metrics with their intervals, of all queries and of groups of them, in percent."""
    means, intervals = percent(values), bootstrap_intervals(values, labels.video)
    by = breakdown(values, groups, labels.video)
    for group in (group for own in by.values() for group in own.values()):
        group["intervals"] = {name: _known(own) for name, own in group["intervals"].items()}
    return {
        "metrics": {
            name: {"value": means[name], "interval": _known(intervals[name])} for name in values
        },
        "by": by,
    }


def _pair(
    values: Mapping[str, Mapping[str, np.ndarray]], first: str, second: str, video: np.ndarray
) -> dict[str, Any]:
    """Two entries side by side on the metrics of both that are compared."""
    own, other = values[first], values[second]
    shared = [name for name in _COMPARED if name in own and name in other]
    found = compare_values(
        {name: own[name] for name in shared}, {name: other[name] for name in shared}, video
    )
    metrics = {name: row | {"interval": _known(row["interval"])} for name, row in found.items()}
    return {"first": first, "second": second, "metrics": metrics}


def _known(interval: list[float]) -> list[float] | None:
    """An interval, None where it is NaN, which JSON does not have."""
    return None if np.isnan(interval).any() else interval


def _label_files(labels: Path) -> list[Path]:
    """The files of labels: one, or those of a directory."""
    if labels.is_file():
        return [labels]
    return sorted(path for path in labels.iterdir() if path.suffix in _LABEL_FILES)
