"""The `vmr` command: data, scores of predictions, tables of papers, figures."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help="Video moment retrieval in JAX.", no_args_is_help=True, pretty_exceptions_enable=False
)


@app.command()
def prepare(
    dataset: Annotated[str, typer.Argument(help="Such as charades_sta; jsonl: your own data.")],
    annotations: Annotated[Path, typer.Option(help="Directory of the annotation files.")],
    features: Annotated[Path, typer.Option(help="HDF5 file, or directory of .npy or .npz.")],
    feature_name: Annotated[str, typer.Option(help="Names this kind of features: i3d, c3d ...")],
    glove: Annotated[Path | None, typer.Option(help="GloVe's text file, or a subset.")] = None,
    data_dir: Annotated[Path, typer.Option(help="Where to write.")] = Path("data_cache"),
    name: Annotated[str, typer.Option(help="Store under this name, not DATASET.")] = "",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what was built from other files.")
    ] = False,
    drop_missing: Annotated[
        bool, typer.Option("--drop-missing", help="Leave videos without features out.")
    ] = False,
    noun_chunks: Annotated[
        str,
        typer.Option(
            metavar="spacy|rules",
            help="Find the queries' noun chunks, for VDI: by spaCy's en_core_web_sm, or by a few "
            "rules and word lists, which only approximate a parser.",
        ),
    ] = "",
    patches: Annotated[
        bool,
        typer.Option(
            "--patches",
            help="The features are grids of patches, (frames, 49, width) a video; a class token "
            "before them, (frames, 50, width), is left out.",
        ),
    ] = False,
    pool_subtitles: Annotated[
        float,
        typer.Option(
            metavar="SECONDS",
            help="The features are those of the subtitles' tokens, with `VIDEO-lengths` tokens a "
            "line, as TVR releases them: pool them into clips of this length (1.5).",
        ),
    ] = 0.0,
    query_features: Annotated[
        Path | None, typer.Option(help="Features of the queries' tokens: HDF5, by query id.")
    ] = None,
    query_feature_name: Annotated[str, typer.Option(help="Names them: roberta ...")] = "",
) -> None:
    """Check a dataset and write it to disk for training."""
    from vmr_jax.data.prepare import prepare_dataset

    prepare_dataset(
        dataset,
        annotations,
        features,
        feature_name,
        glove,
        data_dir,
        name=name or dataset,
        overwrite=overwrite,
        drop_missing=drop_missing,
        noun_chunks=noun_chunks,
        patches=patches,
        clip_seconds=pool_subtitles,
        query_features=query_features,
        query_feature_name=query_feature_name,
    )


@app.command()
def doctor(
    dataset: Annotated[str, typer.Argument(help="A dataset the readers know, or a built one.")],
    annotations: Annotated[Path | None, typer.Option(help="Check the files here.")] = None,
    features: Annotated[Path | None, typer.Option(help="... and these features.")] = None,
    glove: Annotated[Path | None, typer.Option(help="... and these word vectors.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="Check what is built here.")] = None,
    feature_name: Annotated[str, typer.Option(help="... with these features.")] = "",
    patches: Annotated[bool, typer.Option("--patches", help="FEATURES are patches.")] = False,
) -> None:
    """Check raw files or a built dataset; the exit status is 1 when something must be mended."""
    from vmr_jax.data.prepare import diagnose_built, diagnose_files

    if (annotations is None) == (data_dir is None):
        raise ValueError("give either --annotations (raw files) or --data-dir (what is built)")
    if data_dir is not None and not feature_name:
        raise ValueError("--data-dir needs --feature-name: which features to check")
    if annotations is not None:
        healthy = diagnose_files(dataset, annotations, features, glove, patches)
    else:
        healthy = diagnose_built(data_dir, dataset, feature_name)
    if not healthy:
        raise typer.Exit(1)


@app.command()
def simulate(
    annotations: Annotated[
        str, typer.Option(help="A dataset the readers know. Without it: the embedded ones.")
    ] = "",
    annotations_dir: Annotated[Path | None, typer.Option(help="Directory of its files.")] = None,
    glove: Annotated[Path | None, typer.Option(help="GloVe's text file, or a subset.")] = None,
    out: Annotated[Path | None, typer.Option(help="HDF5 file to write.")] = None,
    patches: Annotated[
        Path | None, typer.Option(help="HDF5 file to write patches to, in which things move.")
    ] = None,
    noun_chunks: Annotated[
        str, typer.Option(metavar="spacy|rules", help="Finds what moves in a sentence, and how.")
    ] = "rules",
    subtitles: Annotated[
        Path | None,
        typer.Option(help="HDF5 file to write subtitle features to, of what queries say is said."),
    ] = None,
    width: Annotated[int, typer.Option(help="Numbers a clip.")] = 1024,
    subtitle_width: Annotated[int, typer.Option(help="Numbers a clip's subtitles.")] = 768,
    clip_seconds: Annotated[float, typer.Option(help="Length of a clip.")] = 1.0,
    name: Annotated[str, typer.Option(help="Draws the domain's transform; else the dataset.")] = "",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT.")] = False,
    data_dir: Annotated[Path, typer.Option(help="Where the embedded ones go.")] = Path(
        "data_cache"
    ),
) -> None:
    """Plant simulated clip features into real annotations, or build the embedded datasets."""
    from vmr_jax.data import simulate as simulation
    from vmr_jax.data.progress import shown

    files = {"--annotations-dir": annotations_dir, "--glove": glove, "--out": out}
    if not annotations:
        if patches or subtitles or any(files.values()):
            raise ValueError("--annotations names the dataset whose files these are")
        for domain in simulation.EMBEDDED:
            simulation.build_simulated(data_dir, domain)
            print(f"{data_dir / domain}: features {simulation.FEATURE_NAME!r}")
        return
    absent = [option for option, path in files.items() if path is None]
    if absent:
        raise ValueError(f"--annotations also needs {', '.join(absent)}")
    planted = simulation.simulate_features(
        annotations,
        annotations_dir,
        glove,
        width,
        out,
        name=name,
        clip_seconds=clip_seconds,
        patches=patches,
        noun_chunks=noun_chunks,
        subtitles=subtitles,
        subtitle_width=subtitle_width,
        overwrite=overwrite,
        progress=shown,
    )
    print(
        f"{out}: {planted.videos:,} videos, {planted.clips:,} clips of width {width}; "
        f"{planted.words:,} words have a vector, {planted.unknown:,} have none and carry nothing; "
        f"{planted.silent:,} of {planted.queries:,} queries plant nothing"
    )


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

    from vmr_jax.score import score_files

    report = score_files(
        predictions,
        labels,
        dataset,
        split,
        with_map,
        Console(markup=False, highlight=False, soft_wrap=True),
    )
    if json_out:
        json_out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


@app.command()
def reproduce(
    paper: Annotated[str, typer.Argument(help="eva, vdi or vlanet")],
    table: Annotated[str, typer.Option(help="The table's number in the paper.")],
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
    """Run a paper's table: measured mean and deviation beside the published numbers."""
    from vmr_jax.main import keep_compilations
    from vmr_jax.reproduce import parse_settings
    from vmr_jax.reproduce import reproduce as run
    from vmr_jax.runtime.logs import make_console

    keep_compilations()
    run(paper, table, data, seeds, out, parse_settings(settings or []), make_console())


@app.command()
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
        str, typer.Option(metavar="float16|int8|float32", help="Of the stored vectors.")
    ] = "",
    append: Annotated[bool, typer.Option("--append", help="Add to what OUT holds.")] = False,
    remove: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Remove a video; repeatable.")
    ] = None,
) -> None:
    """Encode a corpus of videos for `vmr search`; an interrupted run is continued."""
    from vmr_jax.main import keep_compilations
    from vmr_jax.runtime.logs import make_console
    from vmr_jax.search.commands import index_videos

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
    from vmr_jax.main import keep_compilations
    from vmr_jax.runtime.logs import make_console
    from vmr_jax.search.commands import Query, read_queries, search_index

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


plot = typer.Typer(help="Draw what a trained system sees: PNG, and the same as JSON.")
app.add_typer(plot, name="plot", no_args_is_help=True)

_Checkpoint = Annotated[Path, typer.Option(help="A run's workdir, or its checkpoints directory.")]
_Queries = Annotated[list[str], typer.Option("--qid", help="Query id; repeatable.")]
_Split = Annotated[str, typer.Option(help="The queries' split; else the run's evaluation split.")]
_DataDir = Annotated[Path | None, typer.Option(help="Prepared data; else where the run had them.")]
_Out = Annotated[Path | None, typer.Option(help="Where to write; else WORKDIR/plots.")]


@plot.command()
def attention(
    checkpoint: _Checkpoint,
    qid: _Queries,
    split: _Split = "",
    data_dir: _DataDir = None,
    out: _Out = None,
) -> None:
    """Which words of a query meet which times of its video."""
    _plot_queries("attention", checkpoint, qid, split, data_dir, out)


@plot.command()
def timeline(
    checkpoint: _Checkpoint,
    qid: _Queries,
    split: _Split = "",
    data_dir: _DataDir = None,
    out: _Out = None,
) -> None:
    """The strongest proposals of a video, the best predictions and the ground truth."""
    _plot_queries("timeline", checkpoint, qid, split, data_dir, out)


@plot.command()
def words(
    checkpoint: _Checkpoint,
    qid: _Queries,
    split: _Split = "",
    data_dir: _DataDir = None,
    out: _Out = None,
) -> None:
    """How much each word of a query counts for images and for subtitles, of a PREM retriever."""
    _plot_queries("words", checkpoint, qid, split, data_dir, out)


@plot.command()
def boundaries(
    checkpoint: _Checkpoint,
    qid: _Queries,
    split: _Split = "",
    data_dir: _DataDir = None,
    out: _Out = None,
) -> None:
    """Confidence in start and end over the true video's clips, of a PREM localizer."""
    _plot_queries("boundaries", checkpoint, qid, split, data_dir, out)


@plot.command()
def similarity(checkpoint: _Checkpoint, out: _Out = None) -> None:
    """The similarity of positive and negative training pairs over a run's steps."""
    from vmr_jax.plots.files import write_similarity_figure

    print(write_similarity_figure(checkpoint, out))


def _plot_queries(figure: str, *settings) -> None:
    """Draw one kind of figure of some queries, and say where it is."""
    from vmr_jax.main import keep_compilations
    from vmr_jax.plots.files import write_query_figures

    keep_compilations()
    for picture in write_query_figures(figure, *settings):
        print(picture)


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
