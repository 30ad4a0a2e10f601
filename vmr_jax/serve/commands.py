"""The commands `vmr serve` and `vmr mcp`."""

from pathlib import Path
from typing import Annotated

import typer

from vmr_jax.zero_shot.asked import require_run

_INDEX = typer.Argument(help="What `vmr index VIDEOS` wrote.")


def serve(
    index: Annotated[Path, _INDEX],
    host: Annotated[str, typer.Option(help="0.0.0.0: for all machines that reach this one.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any that is free.")] = 8000,
    checkpoint: Annotated[
        str,
        typer.Option(
            metavar="WORKDIR",
            help="The run that places the moments, else what the index names; none: no run.",
        ),
    ] = "",
) -> None:
    """Search an index of video files on a web page, and by a REST API; extra app."""
    from vmr_jax.video_index.layout import require_index

    require_index(index)  # before JAX is loaded
    require_run(checkpoint)

    from vmr_jax.training.mesh import keep_compilations

    try:
        from vmr_jax.serve.server import run_server
    except ImportError as error:
        raise ValueError(
            f"the page needs FastAPI and uvicorn ({error}): pip install 'vmr_jax[app]'"
        ) from error
    keep_compilations()
    run_server(index, host, port, checkpoint)


def mcp(index: Annotated[Path, _INDEX]) -> None:
    """Give an assistant the tools `search` and `find`, by the Model Context Protocol; extra mcp."""
    from vmr_jax.video_index.layout import require_index

    require_index(index)  # before JAX is loaded

    from vmr_jax.training.mesh import keep_compilations

    try:
        from vmr_jax.serve.tools import make_tools
    except ImportError as error:
        raise ValueError(
            f"the tools need the SDK of MCP ({error}): pip install 'vmr_jax[mcp]'"
        ) from error
    keep_compilations()
    make_tools(index).run()
