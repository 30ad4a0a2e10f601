"""The command `vmr extract`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vmr_jax.progress import ended_by_interrupts

if TYPE_CHECKING:
    from vmr_jax.extract.extract import Report

FORMATS = {"hdf5": "h5", "npz": "npz", "npy": "npy"}


@ended_by_interrupts()
def extract(
    videos: Annotated[
        list[Path],
        typer.Argument(help='Video files, folders of them, or .jsonl or .csv lists with a "path".'),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="HDF5 file, a dataset a video; or a folder.", show_default=False),
    ] = None,
    encoder: Annotated[
        str, typer.Option(metavar="NAME", help="Such as clip-vit-b32; see the documentation.")
    ] = "",
    weights: Annotated[
        str,
        typer.Option(
            metavar="FILE|NAME",
            help="The encoder's weights, such as model.safetensors, or a name of `vmr weights "
            "list`; else those that are named as the encoder.",
        ),
    ] = "",
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Try without weights; the file says so.")
    ] = False,
    fps: Annotated[float | None, typer.Option(help="Frames a second.")] = None,
    every: Annotated[int | None, typer.Option(help="... or each that many frames.")] = None,
    clip_seconds: Annotated[
        float | None, typer.Option(help="... or the centre of each clip of this length.")
    ] = None,
    frame_fps: Annotated[
        float | None,
        typer.Option(
            help="A video is a folder of images such as 000123.jpg, that many a second; VIDEOS "
            "are such folders, folders of them, or lists."
        ),
    ] = None,
    file_format: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="hdf5|npz|npy",
            help="npz, npy: --out is a folder, with such a file and a .json a video.",
        ),
    ] = "hdf5",
    num_shards: Annotated[
        int, typer.Option(min=1, help="Split the videos in so many parts, by their ids ...")
    ] = 1,
    shard: Annotated[int, typer.Option(help="... and take this one, from 0.")] = 0,
    merge: Annotated[
        bool, typer.Option("--merge", help="VIDEOS are such files of shards: make one of them.")
    ] = False,
    check: Annotated[
        Path | None,
        typer.Option(
            metavar="OTHER",
            help="Compare the features with someone's of the same videos; without --encoder, those "
            "of the file VIDEOS.",
        ),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first video that cannot be read.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Frames encoded at once.")] = 32,
    jobs: Annotated[
        int,
        typer.Option(min=0, help="Processes that read videos while this one encodes; 0: none."),
    ] = 1,
    precision: Annotated[
        str, typer.Option(metavar="float32|bfloat16", help="What the encoder computes in.")
    ] = "float32",
) -> None:
    """Make features of video files; the same command goes on where it was interrupted.

    The exit status is 1 where videos could not be read, which are listed at the end.
    """
    from vmr_jax.encoders.images import open_image_encoder, weights_of
    from vmr_jax.extract.check import check as compare
    from vmr_jax.extract.extract import extract as extract_videos
    from vmr_jax.extract.shards import merge as merge_files
    from vmr_jax.extract.shards import of_shard
    from vmr_jax.models.switches import PRECISIONS
    from vmr_jax.training.mesh import keep_compilations
    from vmr_jax.video.sampling import Sampling
    from vmr_jax.video.sources import find_videos

    if check is not None and not (encoder or merge):
        if len(videos) != 1:
            raise ValueError("--check without --encoder compares one file or folder of features")
        print(*compare(videos[0], check), sep="\n")
        return
    if out is None:
        raise ValueError("--out FILE is missing")
    if merge:
        print(f"{out}: {merge_files(videos, out):,} videos of {len(videos)} files")
        return
    if not encoder:
        raise ValueError("--encoder NAME is missing")
    if sum(value is not None for value in (fps, every, clip_seconds)) != 1:
        raise ValueError("give one of --fps, --every and --clip-seconds")
    if weights and random_weights:
        raise ValueError("give either --weights or, for a try, --random-weights")
    if precision not in PRECISIONS:
        raise ValueError(f"--precision {precision}: use one of {', '.join(PRECISIONS)}")
    if file_format not in FORMATS:
        raise ValueError(f"--format {file_format}: use one of {', '.join(FORMATS)}")
    keep_compilations()
    report = extract_videos(
        of_shard(find_videos(videos, frame_fps), num_shards, shard),
        open_image_encoder(encoder, None if random_weights else weights_of(encoder, weights)),
        Sampling(fps=fps, every=every, clip_seconds=clip_seconds),
        out,
        batch_size=batch_size,
        precision=precision,
        jobs=jobs,
        suffix=FORMATS[file_format],
        strict=strict,
    )
    _print_report(report, out)
    if check is not None:
        print(*compare(out, check), sep="\n")
    if report.failures:
        raise typer.Exit(1)


def _print_report(report: "Report", out: Path) -> None:
    """Say what was done, and on stderr which videos have no features."""
    told = f", {report.skipped:,} were there" if report.skipped else ""
    speed = f"{report.seconds:,.1f} s of video in {report.took:,.1f} s"
    print(f"{out}: {report.added:,} videos added ({speed}){told}")
    if report.added:
        waits = report.waits
        print(f"waited {waits.decoding:.1f} s for frames, {waits.device:.1f} s for the encoder")
    if report.failures:
        print(f"{len(report.failures):,} videos have no features:", file=sys.stderr)
        for failure in report.failures:
            print(f"  {failure.id}: {failure.reason}", file=sys.stderr)
