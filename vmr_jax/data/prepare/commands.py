"""The commands `vmr prepare`, `vmr doctor` and `vmr words`."""

from pathlib import Path
from typing import Annotated, Any

import typer


def prepare(
    dataset: Annotated[str, typer.Argument(help="Such as charades_sta; jsonl: your own data.")],
    annotations: Annotated[Path, typer.Option(help="Directory of the annotation files.")],
    features: Annotated[
        list[Path],
        typer.Option(
            help="HDF5 file, or directory of .npy or .npz; repeatable, for files of different "
            "videos."
        ),
    ],
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
    query_encoder: Annotated[
        str,
        typer.Option(
            metavar="DIR|NAME",
            help="Make them: the folder of a BERT, DistilBERT or MiniLM, with config.json, "
            "tokenizer.json and model.safetensors, or a name of `vmr weights list`.",
        ),
    ] = "",
    key: Annotated[
        str, typer.Option(help="The features among several arrays of an .npz or HDF5 group.")
    ] = "",
) -> None:
    """Check a dataset and write it to disk for training.

    The same command again does nothing while no file that it read or wrote has another size or
    time.
    """
    from vmr_jax.data.prepare.unchanged import is_unchanged, keep_state, state_of_sources
    from vmr_jax.weights.registry import weights_path

    options: dict[str, Any] = {
        "annotations_dir": annotations,
        "features": features,
        "feature_name": feature_name,
        "glove": glove,
        "data_dir": data_dir,
        "name": name or dataset,
        "drop_missing": drop_missing,
        "noun_chunks": noun_chunks,
        "patches": patches,
        "clip_seconds": pool_subtitles,
        "query_features": query_features,
        "query_feature_name": query_feature_name,
        "query_encoder": weights_path(query_encoder) if query_encoder else None,
        "key": key,
    }
    asked = {"dataset": dataset, **options}
    if not overwrite and is_unchanged(asked):
        print(
            f"{data_dir / options['name']}: is there, prepared of these files, whose sizes and "
            "times are as they were; --overwrite reads them again"
        )
        return
    sources = state_of_sources(asked)

    from vmr_jax.data.prepare.prepare import prepare_dataset
    from vmr_jax.data.sources.hdf5 import linked_files

    with linked_files() as linked:
        prepare_dataset(dataset, overwrite=overwrite, **options)
    keep_state(asked, sources, linked)


def doctor(
    dataset: Annotated[str, typer.Argument(help="A dataset the readers know, or a built one.")],
    annotations: Annotated[Path | None, typer.Option(help="Check the files here.")] = None,
    features: Annotated[
        list[Path] | None, typer.Option(help="... and these features; repeatable.")
    ] = None,
    glove: Annotated[Path | None, typer.Option(help="... and these word vectors.")] = None,
    data_dir: Annotated[
        Path | None,
        typer.Option(help="Check what is built here.", show_default="data_cache"),
    ] = None,
    feature_name: Annotated[
        str, typer.Option(help="... with these features; not needed if there are no others.")
    ] = "",
    patches: Annotated[bool, typer.Option("--patches", help="FEATURES are patches.")] = False,
    key: Annotated[
        str, typer.Option(help="The features among several arrays of an .npz or HDF5 group.")
    ] = "",
) -> None:
    """Check raw files or a built dataset; the exit status is 1 when something must be mended."""
    from vmr_jax.data.prepare.prepare import diagnose_built, diagnose_files

    if annotations is not None:
        if data_dir is not None or feature_name:
            raise ValueError(
                "give either --annotations (raw files) or --data-dir and --feature-name (what is "
                "built)"
            )
        healthy = diagnose_files(dataset, annotations, features or [], glove, patches, key)
    else:
        if features or glove or patches or key:
            raise ValueError("--features, --glove, --patches and --key need --annotations")
        healthy = diagnose_built(data_dir or Path("data_cache"), dataset, feature_name)
    if not healthy:
        raise typer.Exit(1)


def words(
    datasets: Annotated[
        list[str],
        typer.Argument(metavar="DATASET=DIR DATASET=DIR", help="Two, with their annotations."),
    ],
    split: Annotated[str, typer.Option(help="Whose queries.")] = "train",
) -> None:
    """Say how many different words two datasets use, and how many of them both do."""
    from vmr_jax.data.prepare.shared_words import shared_words

    print(*shared_words(datasets, split), sep="\n")
