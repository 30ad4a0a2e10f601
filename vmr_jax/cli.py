"""The `vmr` command: runs, data, scores of predictions, tables of papers, search, figures."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vmr_jax import __version__
from vmr_jax.data.prepare.commands import doctor, prepare
from vmr_jax.plots.commands import plot
from vmr_jax.simulation.commands import simulate

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)


@contextmanager
def _ended_by_interrupts() -> Iterator[None]:
    """Ctrl-C ends the process at once: an exception gets lost in compiled code, or crashes it.

    An index stays whole: what its manifest names is complete, and the same command continues it.
    """

    def end(*_) -> None:
        cursor = b"\x1b[?25h" if os.isatty(2) else b""  # a progress bar hides it
        os.write(2, cursor + b"vmr: interrupted\n")
        os._exit(130)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


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


@app.command(context_settings=_OF_MAIN)
def train(
    context: typer.Context,
    config: Annotated[
        str,
        typer.Argument(
            callback=_no_flag,
            help="NAME or FILE.py, and :ARGUMENT; `vmr configs` lists the names.",
        ),
    ],
) -> None:
    """Train a system and evaluate it; the same --workdir=DIR goes on where the run stands.

    Any key of the config is a flag, --config.epochs=3; those of `python -m vmr_jax.main --help`
    are too: --workdir, --restore, --num_processes ...
    """
    from vmr_jax.main import start

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
@_ended_by_interrupts()
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
        top=top,
        data_dir=data_dir,
        as_json=as_json,
    )


for command in (prepare, doctor, simulate):
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
    Console().print(table)


@app.command()
def score(
    predictions: Annotated[
        Path, typer.Argument(help="One JSON object a query and line; or a submission as TVR's.")
    ],
    labels: Annotated[Path, typer.Argument(help="A .jsonl file, or --dataset's directory.")],
    dataset: Annotated[str, typer.Option(help="Whose annotation files LABELS holds.")] = "jsonl",
    split: Annotated[str, typer.Option(help="Which split, if there are several.")] = "",
    with_map: Annotated[
        bool, typer.Option("--map", help="QVHighlights' mAP also for one moment a query.")
    ] = False,
    json_out: Annotated[
        Path | None, typer.Option("--json", metavar="OUT", help="Write the report here too.")
    ] = None,
) -> None:
    """Score a predictions.jsonl, of any code, against labels: R@n,IoU=m, mIoU, mAP.

    Of a submission in TVR's format ({"video2idx", "VCMR", "SVMR", "VR"}): VR, SVMR and VCMR.
    """
    import json

    from rich.console import Console

    from vmr_jax.evaluation.score import score_files

    report = score_files(predictions, labels, dataset, split, with_map)
    console = Console(markup=False, highlight=False, soft_wrap=True)
    for shown in report.shown:
        console.print(shown)
    if json_out:
        json_out.write_text(json.dumps(report.values, indent=2) + "\n", encoding="utf-8")


@app.command()
def reproduce(
    paper: Annotated[str, typer.Argument(help="eva, mmcda, prem, vdi or vlanet")],
    table: Annotated[str, typer.Option(help="The table's number in the paper.")] = "",
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

    if transfer == bool(table):
        raise ValueError("give either --table NUMBER or --transfer")
    keep_compilations()
    console, changes = make_console(), parse_settings(settings or [])
    table = TRANSFER if transfer else table
    reports = run(paper, table, data, seeds, out, changes, console)
    if table == TRANSFER:
        from vmr_jax.plots.transfer import terminal_tables, write_transfer

        files = write_transfer(reports, out, f"{paper}_transfer")
        for shown in terminal_tables(reports):
            console.print(shown, soft_wrap=False)
        console.print(f"written to {', '.join(map(str, files))}")


@app.command()
@_ended_by_interrupts()
def index(
    out: Annotated[Path, typer.Option(help="The index, a directory.")],
    videos: Annotated[
        str,
        typer.Option(
            help="HDF5 file or directory of .npy or .npz, features a video; or a prepared "
            "DATASET or DATASET:SPLIT."
        ),
    ] = "",
    checkpoint: Annotated[
        str, typer.Option(help="The retriever's workdir; else what OUT was made by.")
    ] = "",
    localizer: Annotated[
        str, typer.Option(help="The localizer's workdir; else what OUT was made by.")
    ] = "",
    subtitles: Annotated[str, typer.Option(help="Subtitle features, as --videos.")] = "",
    data_dir: Annotated[str, typer.Option(help="Prepared data; else where the run had them.")] = "",
    dtype: Annotated[
        str,
        typer.Option(
            metavar="float16|int8|float32",
            help="Of the stored vectors; that of OUT where it is there.",
            show_default="float16",
        ),
    ] = "",
    append: Annotated[
        bool, typer.Option("--append", help="Add the videos that OUT lacks.")
    ] = False,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Remove a video; repeatable.")
    ] = None,
) -> None:
    """Encode a corpus of videos for `vmr search`; an interrupted run is continued."""
    from vmr_jax.search.terminal import index_videos
    from vmr_jax.training.logs import make_console
    from vmr_jax.training.mesh import keep_compilations

    keep_compilations()
    index_videos(
        out,
        videos,
        checkpoint=checkpoint,
        localizer=localizer,
        subtitles=subtitles,
        data_dir=data_dir,
        dtype=dtype,
        append=append,
        remove=remove or [],
        console=make_console(),
    )


@app.command()
@_ended_by_interrupts()
def search(
    index: Annotated[Path, typer.Option(help="What `vmr index` wrote.")],
    sentence: Annotated[str, typer.Argument(help="What happens in the moment.")] = "",
    queries: Annotated[
        Path | None, typer.Option(help='Many sentences: JSONL of {"qid": ..., "query": ...}.')
    ] = None,
    query_features: Annotated[
        str, typer.Option(help="HDF5 of token features by qid, for systems trained on such.")
    ] = "",
    top: Annotated[int, typer.Option(help="Moments a query.")] = 10,
    videos: Annotated[int, typer.Option(help="Videos a query that the localizer looks at.")] = 10,
    checkpoint: Annotated[str, typer.Option(help="The retriever, if it was moved.")] = "",
    localizer: Annotated[str, typer.Option(help="The localizer, if it was moved.")] = "",
    verify: Annotated[
        bool, typer.Option(help="Check the content of the index, about a second a GB.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a query.")] = False,
) -> None:
    """Find moments in the videos of an index."""
    from vmr_jax.search.terminal import Query, read_queries, search_index
    from vmr_jax.training.logs import make_console
    from vmr_jax.training.mesh import keep_compilations

    if (queries is None) != bool(sentence.strip()):
        raise ValueError('give either one sentence, such as "a person opens a door", or --queries')
    keep_compilations()
    search_index(
        index,
        read_queries(queries) if queries else [Query("1", sentence)],
        checkpoint=checkpoint,
        localizer=localizer,
        query_features=query_features,
        top=top,
        videos=videos,
        verify=verify,
        as_json=as_json,
        console=make_console(),
    )


app.add_typer(plot, name="plot", no_args_is_help=True)


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
