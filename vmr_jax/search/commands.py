"""The commands `vmr index` and `vmr search`."""

from pathlib import Path
from typing import Annotated

import typer

from vmr_jax.export.options import Exports, with_exports
from vmr_jax.progress import ended_by_interrupts

_OF_FILES = "Of video files"
_OF_TRAINED = "Of trained systems"


@ended_by_interrupts()
def index(
    out: Annotated[Path, typer.Option(help="The index, a directory.")],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="VIDEOS", help='Video files, folders of them, or lists with a "path".'
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_OF_FILES,
            help="concepts, clip-vit-b32, ...; else CLIP where its weights are here, or concepts.",
        ),
    ] = "",
    weights: Annotated[
        str,
        typer.Option(
            metavar="NAME|DIR",
            rich_help_panel=_OF_FILES,
            help="The encoder's weights; else those that are named as it.",
        ),
    ] = "",
    clip_seconds: Annotated[
        float | None,
        typer.Option(
            rich_help_panel=_OF_FILES, show_default="2", help="A frame each so many seconds."
        ),
    ] = None,
    prune: Annotated[
        bool,
        typer.Option(
            "--prune", rich_help_panel=_OF_FILES, help="Take out videos whose files are gone."
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict", rich_help_panel=_OF_FILES, help="Stop at a video that cannot be read."
        ),
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(
            min=0,
            rich_help_panel=_OF_FILES,
            help="Processes that read videos while this one encodes; 0: none.",
        ),
    ] = 1,
    videos: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OF_TRAINED,
            help="HDF5 file or directory of .npy or .npz, features a video; or a prepared "
            "DATASET or DATASET:SPLIT.",
        ),
    ] = "",
    checkpoint: Annotated[
        str,
        typer.Option(
            metavar="WORKDIR",
            help="Of video files: a run that places the moments in searches; none: no longer. Of "
            "trained systems: the retriever; else what OUT was made by.",
        ),
    ] = "",
    localizer: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OF_TRAINED, help="The localizer's workdir; else what OUT was made by."
        ),
    ] = "",
    subtitles: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="Subtitle files, else those beside VIDEOS, or in them. Of trained systems: "
            "subtitle features, as --videos.",
        ),
    ] = "",
    speech: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            rich_help_panel=_OF_FILES,
            help="Hear videos without subtitles by Whisper: tiny, small, ... or a folder.",
        ),
    ] = "",
    engine: Annotated[
        str,
        typer.Option(
            metavar="URL",
            rich_help_panel=_OF_FILES,
            help="Keep frames in milvus://FILE.db or http://HOST:19530 too, which is then asked; "
            "exact: no longer.",
        ),
    ] = "",
    engine_index: Annotated[
        str,
        typer.Option(
            metavar="TYPE",
            rich_help_panel=_OF_FILES,
            show_default="FLAT",
            help="Of Milvus: FLAT, HNSW, ...; its recall is told.",
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OF_TRAINED,
            help="The features among several arrays of an .npz or HDF5 group.",
        ),
    ] = "",
    data_dir: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OF_TRAINED, help="Prepared data; else where the run had them."
        ),
    ] = "",
    dtype: Annotated[
        str,
        typer.Option(
            metavar="float16|int8|float32",
            rich_help_panel=_OF_TRAINED,
            help="Of the stored vectors; that of OUT where it is there.",
            show_default="float16",
        ),
    ] = "",
    append: Annotated[
        bool,
        typer.Option(
            "--append", rich_help_panel=_OF_TRAINED, help="Add the videos that OUT lacks."
        ),
    ] = False,
    remove: Annotated[
        list[str] | None,
        typer.Option(metavar="ID", rich_help_panel=_OF_TRAINED, help="Remove a video; repeatable."),
    ] = None,
) -> None:
    """Encode videos for `vmr search`: files, or features for trained systems (--videos).

    The same command continues an interrupted run, adds new files and encodes changed ones anew. The
    exit status is 1 where files could not be read, which are listed at the end.
    """
    from vmr_jax.zero_shot.asked import require_run

    require_run(checkpoint)  # before JAX is loaded
    if files:
        if videos or localizer or key or dtype or append or remove:
            raise ValueError(
                "video files are encoded here: options of features for trained systems, such as "
                "--videos and --localizer, do not go with them"
            )
        from vmr_jax.video.sources import find_videos

        found = find_videos(files, tell_apart=True)

        from vmr_jax.training.logs import make_console
        from vmr_jax.training.mesh import keep_compilations
        from vmr_jax.video_index.terminal import index_files

        keep_compilations()
        whole = index_files(
            out,
            found,
            encoder=encoder,
            weights=weights,
            clip_seconds=clip_seconds,
            prune=prune,
            strict=strict,
            jobs=jobs,
            subtitles=subtitles,
            speech=speech,
            engine=engine,
            engine_index=engine_index,
            checkpoint=checkpoint,
            console=make_console(),
        )
        if not whole:
            raise typer.Exit(1)
        return
    if not (videos or remove):
        raise ValueError(
            "name the videos to index: files or folders, or features by --videos; or --remove some"
        )

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
@with_exports
def search(
    first: Annotated[
        str, typer.Argument(metavar="INDEX", help="What `vmr index` wrote.", show_default=False)
    ] = "",
    second: Annotated[
        str,
        typer.Argument(metavar="SENTENCE", help="What happens in the moment.", show_default=False),
    ] = "",
    index: Annotated[
        Path | None, typer.Option(help="The index; then SENTENCE stands alone.")
    ] = None,
    queries: Annotated[
        Path | None, typer.Option(help='Many sentences: JSONL of {"qid": ..., "query": ...}.')
    ] = None,
    top: Annotated[int, typer.Option(min=1, help="Moments a query.")] = 10,
    modality: Annotated[
        str,
        typer.Option(
            metavar="both|video|speech",
            rich_help_panel=_OF_FILES,
            help="Search what is seen, what is said, or both.",
        ),
    ] = "both",
    query_features: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OF_TRAINED,
            help="HDF5 of token features by qid, for systems trained on such.",
        ),
    ] = "",
    key: Annotated[
        str,
        typer.Option(
            rich_help_panel=_OF_TRAINED,
            help="The features among several arrays of an .npz or HDF5 group.",
        ),
    ] = "",
    videos: Annotated[
        int,
        typer.Option(
            rich_help_panel=_OF_TRAINED, help="Videos a query that the localizer looks at."
        ),
    ] = 10,
    checkpoint: Annotated[
        str,
        typer.Option(
            metavar="WORKDIR",
            help="Of video files: the run that places the moments, else what the index names; "
            "none: no run. Of trained systems: the retriever, if it was moved.",
        ),
    ] = "",
    localizer: Annotated[
        str, typer.Option(rich_help_panel=_OF_TRAINED, help="The localizer, if it was moved.")
    ] = "",
    verify: Annotated[
        bool,
        typer.Option(
            rich_help_panel=_OF_TRAINED,
            help="Check the content of the index, about a second a GB.",
        ),
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a query.")] = False,
    *,
    exports: Exports,
) -> None:
    """Find moments in the videos of an index, of video files or of trained systems."""
    from vmr_jax.search.queries import Query, read_queries
    from vmr_jax.speech.modality import check_modality
    from vmr_jax.video_index.layout import MANIFEST, is_video_index, read_manifest
    from vmr_jax.zero_shot.asked import check_sentence, check_words, require_run

    where, sentence = (index, first) if index else (Path(first), second)
    if index and second:
        raise ValueError("an index twice: give --index INDEX SENTENCE, or INDEX SENTENCE")
    if not (index or first):
        raise ValueError('which index? `vmr search INDEX "a person opens a door"`')
    if (queries is None) != bool(sentence.strip()):
        raise ValueError('give either one sentence, such as "a person opens a door", or --queries')
    if not where.is_dir():
        raise FileNotFoundError(f"{where}: no index there; make one with `vmr index`")
    asked = read_queries(queries) if queries else [Query("1", sentence)]
    of_files = is_video_index(where)
    check_modality(modality)
    require_run(checkpoint)
    if of_files and not queries:
        check_sentence(sentence)
        if modality != "speech":
            check_words(read_manifest(where / MANIFEST)["encoder"], sentence)
    if exports.any() and not of_files:
        raise ValueError(f"{where} knows features, not video files: nothing to cut or export")

    from vmr_jax.training.logs import make_console
    from vmr_jax.training.mesh import keep_compilations

    keep_compilations()
    if of_files:
        from vmr_jax.video_index.terminal import search_files

        whole = search_files(
            where,
            asked,
            top=top,
            modality=modality,
            checkpoint=checkpoint,
            as_json=as_json,
            exports=exports,
            console=make_console(),
        )
        if not whole:
            raise typer.Exit(1)
        return
    from vmr_jax.search.terminal import search_index

    search_index(
        where,
        asked,
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


@ended_by_interrupts()
def calibrate(
    index: Annotated[Path, typer.Argument(help="An index of video files.")],
    labels: Annotated[
        Path,
        typer.Argument(
            help='JSONL of {"qid", "query", "vid", "duration", "relevant_windows"}, of its videos.'
        ),
    ],
) -> None:
    """Learn, on labelled sentences, how probable it is that a moment of an index is right."""
    from vmr_jax.input_files import require_file
    from vmr_jax.video_index.layout import require_index

    require_index(index)  # before JAX is loaded
    require_file(labels, "labels")

    from vmr_jax.training.logs import make_console
    from vmr_jax.training.mesh import keep_compilations
    from vmr_jax.video_index.terminal import calibrate_index

    keep_compilations()
    calibrate_index(index, labels, make_console())
