"""What an evaluation says: its figures as a record, as a table for a terminal, as Markdown."""

import io
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table

from vmr_jax.answers.files import Unread
from vmr_jax.metrics.intervals import COVERAGE

BASELINES = ("linear_match", "location_prior", "random")


class Report(NamedTuple):
    """The figures of predictions on a split, in percent, and what there is to say of them.

    `values` is what metrics.json holds: {"dataset", "split", "queries", "model": {metric: percent},
    "random": {...}, "location_prior": {...}, "linear_match": {...}, ...}.
    """

    values: dict[str, Any]
    shown: tuple[str | Table, ...] = ()  # lines and tables, in the order of the terminal
    unread: tuple[Unread, ...] = ()  # answers in words that are misses, see `vmr_jax.answers`

    @property
    def metrics(self) -> dict[str, float]:
        """The metrics of the predictions, {} where the labels are hidden."""
        return self.values.get("model", {})

    def table(self) -> str:
        """The metrics beside the baselines', as text."""
        names = [name for name in BASELINES if name in self.values]
        columns = {self.values.get("system", "model"): self.metrics}
        text = io.StringIO()
        console = Console(
            file=text, width=1000, markup=False, force_terminal=False, force_jupyter=False
        )
        console.print(metrics_table(columns | {name: self.values[name] for name in names}))
        return text.getvalue()


def metrics_table(
    columns: Mapping[str, Mapping[str, float]],
    intervals: Mapping[str, list[float]] | None = None,
) -> Table:
    """A table of percentages: a column for each method, a row for each metric of the first.

    `intervals` are the first method's, and stand beside it.
    """
    table = Table("percent")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right")
        if intervals and not place:
            table.add_column(f"{COVERAGE} %", justify="right")
    for metric in next(iter(columns.values())):
        cells = [f"{v[metric]:.2f}" if metric in v else "—" for v in columns.values()]
        if intervals:
            low, high = intervals.get(metric, (np.nan, np.nan))
            cells.insert(1, "—" if np.isnan(low) else f"{low:.1f} to {high:.1f}")
        table.add_row(metric, *cells)
    return table


def scored_table(report: Mapping[str, Any], title: str) -> list[str | Table]:
    """The table of a report beside its baselines, and what there is to say of them."""
    lines: list[str | Table] = []
    if "location_prior" not in report:
        lines.append("no location prior: there is no other split for training that has labels")
    columns = {name: report[name] for name in ("model", *BASELINES) if name in report}
    lines.append(f"{title}: {report['queries']} queries")
    lines.append(metrics_table(columns, report["intervals"]["model"]))
    return [*lines, beside_linear_match(report)] if "linear_match" in report else lines


def beside_linear_match(report: Mapping[str, Any]) -> str:
    """One line that says whether a model is better than the linear match, by its first metric
    at IoU 0.5, and whether the queries resolve it."""
    paired = report["intervals"]["model - linear_match"]
    metric = next((name for name in paired if "R@1,IoU=0.5" in name), next(iter(paired)))
    low, high = paired[metric]
    by = report["model"][metric] - report["linear_match"][metric]
    if np.isnan(low) or low <= 0 <= high:
        said = "these queries do not resolve the difference"
    else:
        said = "better than a linear match" if low > 0 else "a linear match is better"
    return f"{metric}: {by:+.1f} points beside linear_match ({low:+.1f} to {high:+.1f}): {said}"


def markdown_table(
    names: Sequence[str], numbers: Sequence[str], rows: Sequence[Sequence[str]]
) -> list[str]:
    """The lines of a Markdown table: columns of `names`, then those of `numbers`, to the right."""
    lines = ["| " + " | ".join(cells) + " |" for cells in ([*names, *numbers], *rows)]
    return [lines[0], "|" + " --- |" * len(names) + " ---: |" * len(numbers), *lines[1:]]


def measured_cell(spread: Mapping | None, digits: int = 2) -> str:
    """A measured metric in a table: "mean ± std", the mean of a single seed, "—" without one.

    `digits` are those after the point. `spread` is what a report of `reproduce` says of it,
    {"mean", "std" or None, "values"}.
    """
    if spread is None:
        return "—"
    if spread["std"] is None:
        return f"{spread['mean']:.{digits}f}"
    return f"{spread['mean']:.{digits}f} ± {spread['std']:.{digits}f}"


def count_seeds(count: int) -> str:
    """How many seeds a figure is of, in words: "1 seed", "3 seeds"."""
    return f"{count} seed" if count == 1 else f"{count} seeds"
