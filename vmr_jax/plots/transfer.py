"""The transfer matrix of a cross-domain system: its reports, source → target, in one table."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from vmr_jax.evaluation.report import count_seeds, markdown_table, measured_cell
from vmr_jax.output_files import write_whole
from vmr_jax.plots.drawing import draw_transfer, save

# A selection of the reports' metrics, so that the matrix stays readable
METRICS = ("R@1,IoU=0.3", "R@1,IoU=0.5", "R@1,IoU=0.7", "mIoU")


def write_transfer(reports: Sequence[Mapping], folder: Path, name: str) -> list[Path]:
    """Write FOLDER/NAME.md, .json and the heat map .png of reports of `reproduce`, one a transfer.

    Rows are those that some transfer measured, columns the transfers by METRICS. Returns the files.
    """
    matrix = transfer_matrix(reports)
    files = [folder / f"{name}.{kind}" for kind in ("md", "json", "png")]
    write_whole(files[0], as_markdown(matrix))
    write_whole(files[1], json.dumps(matrix, indent=2, allow_nan=False) + "\n")
    save(draw_transfer, matrix, files[2])
    return files


def transfer_matrix(reports: Sequence[Mapping]) -> dict:
    """The measured cells of several transfers: rows by columns, None where nothing was measured.

    The title is what stands before the colon in that of the reports.
    """
    columns = [(report, metric) for report in reports for metric in METRICS]
    names = dict.fromkeys(
        row["name"] for report in reports for row in report["rows"] if row["measured"]
    )
    by_name = [{row["name"]: row["measured"] for row in report["rows"]} for report in reports]
    cells = [
        [measured.get(name, {}).get(metric) for measured in by_name for metric in METRICS]
        for name in names
    ]
    return {
        "title": reports[0]["title"].partition(":")[0],
        "seeds": reports[0]["seeds"],
        "rows": list(names),
        "columns": [
            {"transfer": report["set_up"].replace(",", " → "), "metric": metric}
            for report, metric in columns
        ],
        "cells": cells,
    }


def terminal_tables(reports: Sequence[Mapping]) -> list[Table]:
    """A narrow table for each transfer: the rows that it measured by METRICS."""
    tables = []
    for report in reports:
        tables.append(Table("percent", title=report["title"]))
        for metric in METRICS:
            tables[-1].add_column(metric, justify="right", no_wrap=True)
        for row in filter(lambda row: row["measured"], report["rows"]):
            cells = (measured_cell(row["measured"].get(metric), digits=1) for metric in METRICS)
            tables[-1].add_row(row["name"], *cells)
    return tables


def as_markdown(matrix: Mapping) -> str:
    """The matrix as a Markdown table: mean ± standard deviation over the seeds, in percent."""
    heads = [f"{column['transfer']}: {column['metric']}" for column in matrix["columns"]]
    lines = [
        f"## {matrix['title']}: transfer matrix",
        "",
        "Percent on the target, mean ± standard deviation (n - 1) of "
        f"{count_seeds(matrix['seeds'])}.",
        "",
    ]
    rows = [
        [name, *map(measured_cell, cells)]
        for name, cells in zip(matrix["rows"], matrix["cells"], strict=True)
    ]
    return "\n".join(lines + markdown_table(["row"], heads, rows)) + "\n"
