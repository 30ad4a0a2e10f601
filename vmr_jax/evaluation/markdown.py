"""Markdown tables of measured figures."""

from collections.abc import Mapping, Sequence


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
