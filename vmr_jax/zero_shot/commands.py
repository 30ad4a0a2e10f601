"""The command `vmr find`."""

import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmr_jax.export.options import Exports, with_exports
from vmr_jax.export.results import Result, clock
from vmr_jax.progress import ended_by_interrupts

if TYPE_CHECKING:
    from vmr_jax.zero_shot.find import FoundMoment


@ended_by_interrupts()
@with_exports
def find(
    video: Annotated[Path, typer.Argument(help="A video file.")],
    sentence: Annotated[str, typer.Argument(help="What happens in the moment.")],
    encoder: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="concepts, clip-vit-b32, clip-vit-b16, clip-vit-l14, demo."
        ),
    ] = "concepts",
    weights: Annotated[
        str,
        typer.Option(
            metavar="NAME|DIR", help="The encoder's weights; else those that are named as it."
        ),
    ] = "",
    top: Annotated[int, typer.Option(min=1, help="Moments at most.")] = 5,
    clip_seconds: Annotated[
        float | None, typer.Option(help="A frame each so many seconds; else what suits it: 2.")
    ] = None,
    checkpoint: Annotated[
        str,
        typer.Option(
            metavar="WORKDIR",
            help="A run that was trained on the encoder's features finds what is seen, alone.",
        ),
    ] = "",
    modality: Annotated[
        str,
        typer.Option(
            metavar="both|video|speech", help="Search what is seen, what is said, or both."
        ),
    ] = "both",
    subtitles: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="What is said; else the files beside VIDEO, or in it."),
    ] = None,
    speech: Annotated[
        str,
        typer.Option(
            metavar="MODEL",
            help="Hear a video without subtitles by Whisper: tiny, small, ... or a folder.",
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON.")] = False,
    *,
    exports: Exports,
) -> None:
    """Find the moments of a sentence in a video file, without an index.

    No training is needed; a run that was trained is asked by --checkpoint.
    """
    if checkpoint and (subtitles or speech or modality == "speech"):
        raise ValueError("--checkpoint finds what is seen alone: leave --subtitles and speech out")
    from vmr_jax.input_files import require_file
    from vmr_jax.speech.modality import check_modality
    from vmr_jax.zero_shot.asked import check_sentence, check_words, require_run

    check_sentence(sentence)  # before JAX is loaded
    require_run(checkpoint)
    check_modality(modality)
    if modality != "speech" and not checkpoint:
        check_words(encoder, sentence)
    require_file(video, "video")

    from vmr_jax.export.export import export_results
    from vmr_jax.training.mesh import keep_compilations
    from vmr_jax.zero_shot.find import find as find_in_video
    from vmr_jax.zero_shot.joint_space import usual_clip_seconds

    keep_compilations()
    settings = {"encoder": encoder, "weights": weights, "top_k": top}
    with warnings.catch_warnings(record=True) as told:
        if checkpoint:
            from vmr_jax.zero_shot.trained import find_by_run

            moments, clip_seconds = find_by_run(
                video, sentence, checkpoint, **settings, clip_seconds=clip_seconds
            )
        else:
            if clip_seconds is None:
                clip_seconds = usual_clip_seconds(encoder)
            moments = find_in_video(
                video,
                sentence,
                **settings,
                clip_seconds=clip_seconds,
                modality=modality,
                subtitles=subtitles,
                speech=speech,
            )
    for warning in told:
        print(f"vmr: {warning.message}", file=sys.stderr)
    if as_json:
        found = [moment._asdict() for moment in moments]
        print(json.dumps({"video": str(video), "query": sentence, "moments": found}))
    else:
        _print_table(video, sentence, moments)
        if modality == "speech":
            print("what is said, by its words")
        else:
            by = f"trained run {checkpoint}" if checkpoint else "no training"
            print(f"encoder {encoder}, a frame each {clip_seconds:g} s, {by}")
    results = [Result(video.stem, video, *moment[:3], sentence) for moment in moments]
    if not export_results(results, exports, lambda line: print(line, file=sys.stderr)):
        raise typer.Exit(1)


def _print_table(video: Path, sentence: str, moments: Sequence["FoundMoment"]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(f"{sentence} — {video.name}"), title_justify="left")
    for name in ("", "start", "end", "score"):
        table.add_column(name, justify="right")
    table.add_column("found by")
    for rank, moment in enumerate(moments, 1):
        times = clock(moment.start_s), clock(moment.end_s)
        table.add_row(str(rank), *times, f"{moment.score:.3g}", moment.found_by)
    Console().print(table)
