"""What the tests of scores read of a report."""

import io

from rich.console import Console

from vmr_jax.evaluation.report import Report


def values_and_text(report: Report) -> tuple[dict, str]:
    """Its figures, and what a terminal shows of it."""
    console = Console(file=io.StringIO(), width=300)
    for shown in report.shown:
        console.print(shown)
    return report.values, console.file.getvalue()
