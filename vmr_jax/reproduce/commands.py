"""The command `vmr reproduce`."""

from pathlib import Path
from typing import Annotated

import typer


def reproduce(
    paper: Annotated[
        str, typer.Argument(help="eva, mmcda, moment_detr, prem, qd_detr, vdi or vlanet")
    ],
    table: Annotated[str, typer.Option(help="The table's number in the paper, or its name.")] = "",
    transfer: Annotated[
        bool,
        typer.Option(
            "--transfer",
            help="The transfer matrix, with a heat map (mmcda). With --data DIR: ActivityNet "
            "Captions to Charades-STA and back, and TVR to each of the two.",
        ),
    ] = False,
    data: Annotated[
        str, typer.Option(help="'simulated', or the directory with the prepared datasets.")
    ] = "simulated",
    seeds: Annotated[int, typer.Option(min=1, help="Runs a row.")] = 3,
    out: Annotated[Path, typer.Option(help="Where reports and runs go.")] = Path("reproduce"),
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A config key for all rows; repeatable."),
    ] = None,
) -> None:
    """Run a paper's table: measured mean and deviation beside the published numbers.

    --transfer trains and evaluates a cross-domain system from each domain to the other, with each
    set of its modules; configs/tables/mmcda.py lists the pairs.
    """
    from vmr_jax.configs.tables import TRANSFER
    from vmr_jax.overrides import parse_settings
    from vmr_jax.reproduce.tables import reproduce as run
    from vmr_jax.training.logs import make_console
    from vmr_jax.training.mesh import keep_compilations
    from vmr_jax.training.workdir import held

    if transfer == bool(table):
        raise ValueError("give either --table NUMBER or --transfer")
    keep_compilations()
    console, changes = make_console(), parse_settings(settings or [])
    table = TRANSFER if transfer else table
    with held(out):
        reports = run(paper, table, data, seeds, out, changes, console)
    if table == TRANSFER:
        from vmr_jax.plots.transfer import terminal_tables, write_transfer

        files = write_transfer(reports, out, f"{paper}_transfer")
        for shown in terminal_tables(reports):
            console.print(shown, soft_wrap=False)
        console.print(f"written to {', '.join(map(str, files))}")
