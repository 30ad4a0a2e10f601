"""The `vmr` command: runs, data, scores of predictions, tables of papers, search, figures."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from vmr_jax import __version__
from vmr_jax.answers.commands import prompts
from vmr_jax.data.prepare.commands import doctor, prepare, words
from vmr_jax.demo.commands import demo
from vmr_jax.evaluation.commands import audit, compare, score
from vmr_jax.extract.commands import extract
from vmr_jax.leaderboard.commands import leaderboard
from vmr_jax.plots.commands import plot
from vmr_jax.progress import ended_by_interrupts
from vmr_jax.reproduce.commands import reproduce
from vmr_jax.search.commands import calibrate, index, search
from vmr_jax.serve.commands import mcp, serve
from vmr_jax.simulation.commands import simulate
from vmr_jax.weights.commands import weights
from vmr_jax.zero_shot.commands import find

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


def _say_version(wanted: bool) -> None:
    if wanted:
        print(f"vmr_jax {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_say_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Video moment retrieval in JAX."""


_OF_MAIN = {"allow_extra_args": True, "ignore_unknown_options": True}


def _no_flag(value):
    """Refuse a flag in the place of the argument that stands before all flags."""
    if str(value).startswith("-"):
        raise typer.BadParameter(f"the flags, such as {value}, come after it")
    return value


def _config_name(value: str) -> str:
    """Refuse a flag in the place of a config; one of --config says which it means, or could."""
    flag, _, named = value.partition("=")
    if flag.lstrip("-") == "config" and value.startswith("-"):
        from vmr_jax.config_files import config_file, config_names

        name = named.partition(":")[0]
        if not name:
            raise typer.BadParameter(f"name one of {', '.join(config_names())}: `vmr train NAME`")
        config_file(name)
        raise typer.BadParameter(f"without --config=, as in `vmr train {named}`")
    return _no_flag(value)


@app.command(context_settings=_OF_MAIN)
def train(
    context: typer.Context,
    config: Annotated[
        str,
        typer.Argument(
            callback=_config_name,
            help="NAME or FILE.py, and :ARGUMENT; `vmr configs` lists the names.",
        ),
    ],
) -> None:
    """Train a system and evaluate it; the same --workdir=DIR goes on where the run stands.

    Any key of the config is a flag, --config.epochs=3; those of `python -m vmr_jax.main --help`
    are too: --workdir, --restore, --num_processes ...
    """
    from vmr_jax.main import start

    if any(argument.lstrip("-").split("=")[0] == "config" for argument in context.args):
        raise typer.BadParameter(f"--config comes after {config}, which names the config already")
    start(["vmr train", f"--config={config}", *context.args])


@app.command("eval", context_settings=_OF_MAIN)
def evaluate(
    context: typer.Context,
    workdir: Annotated[
        Path, typer.Argument(callback=_no_flag, help="Of a run; the report is written there.")
    ],
) -> None:
    """Evaluate a run's best checkpoint.

    --config=NAME[:ARGUMENT] names other data than those it was trained for, and with it
    --config.target.eval_split=val the split.
    """
    from vmr_jax.main import start

    start(["vmr eval", "--mode=eval", f"--workdir={workdir}", *context.args])


@app.command()
@ended_by_interrupts()
def predict(
    workdir: Annotated[Path, typer.Argument(help="Of a run that finds moments.")],
    sentence: Annotated[str, typer.Argument(help="What happens in the moment.")] = "",
    features: Annotated[
        str,
        typer.Option(help="HDF5 file with a dataset a video, .npy or .npz, or directory of such."),
    ] = "",
    video: Annotated[str, typer.Option(help="Whose features; not needed if there is one.")] = "",
    duration: Annotated[
        float,
        typer.Option(
            show_default=False,
            help="Of the video in seconds; else clips x the run's clip length.",
        ),
    ] = 0.0,
    queries: Annotated[
        Path | None, typer.Option(help='Many sentences: JSONL of {"qid": ..., "query": ...}.')
    ] = None,
    subtitles: Annotated[str, typer.Option(help="Subtitle features, as --features.")] = "",
    key: Annotated[
        str, typer.Option(help="The features among several arrays of an .npz or HDF5 group.")
    ] = "",
    top: Annotated[int, typer.Option(min=1, help="Moments a query.")] = 5,
    data_dir: Annotated[str, typer.Option(help="Prepared data; else where the run had them.")] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of predictions.jsonl each.")
    ] = False,
) -> None:
    """Find the moments of sentences in one video."""
    from vmr_jax.evaluation.predict import predict_moments

    predict_moments(
        workdir,
        sentence,
        queries,
        features,
        video,
        duration=duration,
        subtitles=subtitles,
        key=key,
        top=top,
        data_dir=data_dir,
        as_json=as_json,
    )


@app.command()
@ended_by_interrupts()
def report(
    index: Annotated[Path, typer.Argument(help="Of video files, which `vmr index` wrote.")],
    queries: Annotated[
        Path,
        typer.Argument(
            help='JSONL of {"qid": ..., "query": ...}; with "vid" and "relevant_windows" errors '
            "are told."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The page to write, .html.")],
    top: Annotated[int, typer.Option(min=1, max=10, help="Moments shown of a query.")] = 3,
) -> None:
    """Search for many sentences, and make one page of HTML of what is found.

    It holds a section a query, with pictures and the similarity over time; with labels the figures,
    and the largest errors first.
    """
    from vmr_jax.export.report_queries import read_labelled_queries
    from vmr_jax.video_index.layout import require_index

    require_index(index)  # before JAX is loaded
    asked = read_labelled_queries(queries)

    from vmr_jax.export.report import write_report
    from vmr_jax.progress import shown
    from vmr_jax.training.mesh import keep_compilations
    from vmr_jax.video_index.corpus import Corpus

    keep_compilations()
    title = f"{queries.name} in {index.name}"
    figures = write_report(out, Corpus(index), asked, title=title, top_k=top, progress=shown)
    told = [f"{figures.queries:,} queries, {figures.labelled:,} with labels"]
    told += [f"{figures.refused:,} could not be asked"] if figures.refused else []
    told += [f"{name} {value:.1f}" for name, value in figures.percent.items()]
    print(f"{out}: {', '.join(told)}")


for command in (extract, prepare, doctor, words, simulate, reproduce, demo, prompts):
    app.command()(command)
for command in (score, compare, audit, leaderboard, index, search, calibrate, find, serve, mcp):
    app.command()(command)


@app.command()
def configs() -> None:
    """List the configs that are installed, a line each."""
    from vmr_jax.config_files import config_names, summary

    for name in config_names():
        print(f"{name:16} {summary(name)}")


@app.command()
def systems() -> None:
    """List the systems, ours and those of installed plug-ins."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from vmr_jax import models

    table = Table("system", "finds", "learns from", "paper")
    for described in map(models.describe, models.names()):
        cells = described.name, described.finds, described.supervision, described.paper
        table.add_row(*map(Text, cells))
    Console(markup=False).print(table)


app.add_typer(plot, name="plot", no_args_is_help=True)
app.add_typer(weights, name="weights", no_args_is_help=True)


def main() -> None:
    """Run the command; a user's mistake ends in one line, not in a stack trace (VMR_DEBUG=1)."""
    from vmr_jax.main import MISTAKES

    try:
        app()
    except MISTAKES as error:
        if os.environ.get("VMR_DEBUG"):
            raise
        sys.exit(f"vmr: {error}")


if __name__ == "__main__":
    main()
