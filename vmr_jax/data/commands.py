"""The commands `vmr prepare`, `vmr doctor` and `vmr simulate`."""

from pathlib import Path
from typing import Annotated

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


def doctor(
    dataset: Annotated[str, typer.Argument(help="A dataset the readers know, or a built one.")],
    annotations: Annotated[Path | None, typer.Option(help="Check the files here.")] = None,
    features: Annotated[
        list[Path] | None, typer.Option(help="... and these features; repeatable.")
    ] = None,
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
        healthy = diagnose_files(dataset, annotations, features or [], glove, patches)
    else:
        healthy = diagnose_built(data_dir, dataset, feature_name)
    if not healthy:
        raise typer.Exit(1)


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
            said = f", subtitles {simulation.SUBTITLE_NAME!r}" * (domain == simulation.CORPUS)
            print(f"{data_dir / domain}: features {simulation.FEATURE_NAME!r}{said}")
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
    print(f"{out}: {planted.videos:,} videos, {planted.clips:,} clips of width {width}")
    if patches:
        print(f"{patches}: patches of these clips, of width {width}")
    if subtitles:
        print(f"{subtitles}: subtitles of these clips, of width {subtitle_width}")
    print(
        f"{planted.words:,} words have a vector, {planted.unknown:,} have none and carry nothing; "
        f"{planted.silent:,} of {planted.queries:,} queries plant nothing"
    )
