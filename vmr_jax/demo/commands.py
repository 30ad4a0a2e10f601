"""The command `vmr demo`."""

from pathlib import Path
from typing import Annotated

import typer

from vmr_jax.progress import ended_by_interrupts


@ended_by_interrupts()
def demo(
    out: Annotated[
        Path | None, typer.Option(help="Where videos and index go; else the user's cache.")
    ] = None,
    no_serve: Annotated[
        bool, typer.Option("--no-serve", help="End with the tables of results.")
    ] = False,
) -> None:
    """Render small videos, index them, find sentences in them, and say how well; offline.

    Then the index is served as by `vmr serve`.
    """
    from rich.console import Console

    from vmr_jax.demo.run import run
    from vmr_jax.output_files import user_cache
    from vmr_jax.serve.commands import serve
    from vmr_jax.training.mesh import keep_compilations

    out = out or user_cache() / "demo"
    keep_compilations()
    console = Console(markup=False, highlight=False, soft_wrap=True)
    run(out, console)
    if not no_serve:
        serve(out / "index", "127.0.0.1", 8000)
