"""Which of two prediction files is better on the same queries, and whether that is chance."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from vmr_jax.evaluation.labels import count_missing, read_labels
from vmr_jax.evaluation.predictions import read_prediction_file
from vmr_jax.evaluation.query_values import percent, query_values
from vmr_jax.evaluation.report import Report
from vmr_jax.metrics.intervals import COVERAGE, paired_intervals, paired_p_values

_TIE = 1e-9  # values of a query nearer than this are equal


def compare_files(
    first: Path,
    second: Path,
    labels: Path,
    dataset: str = "jsonl",
    split: str = "",
    with_map: bool = False,
    order: str = "score",
) -> Report:
    """Set two prediction files side by side, query by query, on one split's labels.

    Arguments as in `score_files`. Report.values: {"dataset", "split", "queries", "files" of
    "first" and "second" {"name", "missing"}, "metrics": as `compare_values` gives them}.

    Raises ValueError and FileNotFoundError as `score_files` does.
    """
    found = [read_prediction_file(path) for path in (first, second)]
    asked = read_labels(labels, dataset, split)
    values = [query_values(own, asked, order, with_map) for own in found]
    files = {
        place: {"name": str(path), "missing": count_missing(own.windows, asked)}
        for place, path, own in zip(("first", "second"), (first, second), found, strict=True)
    }
    metrics = compare_values(values[0].all, values[1].all, asked.video)
    report = {
        "dataset": asked.annotations.name,
        "split": asked.split,
        "queries": len(asked.records),
        "files": files,
        "metrics": metrics,
    }
    said: list[str | Table] = [*asked.faults]
    for file in files.values():
        if file["missing"]:
            none = f"{file['missing']} of {report['queries']} queries have no prediction"
            said.append(f"{Path(file['name']).name}: {none}: they are misses")
    said.append(f"{asked.name}: {report['queries']} queries; first: {first}, second: {second}")
    return Report(report, (*said, _table(metrics)))


def compare_values(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], video: np.ndarray
) -> dict[str, dict[str, Any]]:
    """Compare two methods on the metrics of both, whose values are (Q,) in [0, 1], NaN: no count.

    For each: "first", "second" and "difference" (second minus first) in percent, the "interval" of
    the difference over the videos (Q,) of the queries, its "p" (`paired_p_values`), and in how many
    queries the first is better ("first_wins"), the second ("second_wins") or neither ("ties").
    """
    metrics = [name for name in first if name in second]
    own = {name: first[name] for name in metrics}
    other = {name: second[name] for name in metrics}
    means = percent(own), percent(other)
    intervals = paired_intervals(other, own, video)
    p_values = paired_p_values(other, own, video)
    return {
        name: {
            "first": means[0][name],
            "second": means[1][name],
            "difference": means[1][name] - means[0][name],
            "interval": intervals[name],
            "p": p_values[name],
            "first_wins": int(np.sum(own[name] > other[name] + _TIE)),
            "second_wins": int(np.sum(other[name] > own[name] + _TIE)),
            "ties": int(np.sum(np.abs(own[name] - other[name]) <= _TIE)),
        }
        for name in metrics
    }


def _table(metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    """A row a metric: both figures, the difference with its interval and p, the wins."""
    table = Table(padding=0)
    table.add_column("percent", no_wrap=True)
    for name in ("first", "second", "2 - 1", f"{COVERAGE} %", "p", "wins of 1 / 2"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, row in metrics.items():
        low, high = row["interval"]
        table.add_row(
            name,
            f"{row['first']:.2f}",
            f"{row['second']:.2f}",
            f"{row['difference']:+.2f}",
            "—" if np.isnan(low) else f"{low:+.1f} to {high:+.1f}",
            f"{row['p']:.4f}",
            f"{row['first_wins']} / {row['second_wins']}",
        )
    return table
