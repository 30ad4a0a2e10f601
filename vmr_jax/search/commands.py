"""The commands `vmr index` and `vmr search`."""

from pathlib import Path
from typing import Annotated

import typer

from vmr_jax.progress import ended_by_interrupts


@ended_by_interrupts()
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
    key: Annotated[
        str, typer.Option(help="The features among several arrays of an .npz or HDF5 group.")
    ] = "",
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
        key=key,
        data_dir=data_dir,
        dtype=dtype,
        append=append,
        remove=remove or [],
        console=make_console(),
    )


@ended_by_interrupts()
def search(
    index: Annotated[Path, typer.Option(help="What `vmr index` wrote.")],
    sentence: Annotated[str, typer.Argument(help="What happens in the moment.")] = "",
    queries: Annotated[
        Path | None, typer.Option(help='Many sentences: JSONL of {"qid": ..., "query": ...}.')
    ] = None,
    query_features: Annotated[
        str, typer.Option(help="HDF5 of token features by qid, for systems trained on such.")
    ] = "",
    key: Annotated[
        str, typer.Option(help="The features among several arrays of an .npz or HDF5 group.")
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
        key=key,
        top=top,
        videos=videos,
        verify=verify,
        as_json=as_json,
        console=make_console(),
    )
