"""The command `vmr simulate`."""

from pathlib import Path
from typing import Annotated

import typer


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
    from vmr_jax.progress import shown
    from vmr_jax.simulation import embedded
    from vmr_jax.simulation.simulate import simulate_features

    files = {"--annotations-dir": annotations_dir, "--glove": glove, "--out": out}
    if not annotations:
        if patches or subtitles or any(files.values()):
            raise ValueError("--annotations names the dataset whose files these are")
        for domain in embedded.EMBEDDED:
            embedded.build_simulated(data_dir, domain)
            said = f", subtitles {embedded.SUBTITLE_NAME!r}" * (domain == embedded.CORPUS)
            print(f"{data_dir / domain}: features {embedded.FEATURE_NAME!r}{said}")
        return
    if annotations_dir is None or glove is None or out is None:
        absent = [option for option, path in files.items() if path is None]
        raise ValueError(f"--annotations also needs {', '.join(absent)}")
    planted = simulate_features(
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
