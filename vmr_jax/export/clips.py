"""A clip: the file that a part of a video is written to, and its times in the video."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vmr_jax.video.reader import import_av

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.stream import Stream


class Clip(NamedTuple):
    """A file with a part of a video."""

    path: Path
    start_s: float  # seconds of the video at which it begins; copied, those of a key frame
    end_s: float  # seconds of the video
    left_out: tuple[str, ...] = ()  # streams that its container cannot have: "subtitle (ass)"


def check_span(path: Path, start: float, end: float, duration: float) -> float:
    """The end of a moment, which is the video's where it lies behind that.

    `duration` is NaN where it is not known. Raises ValueError for what is no span of seconds, or
    begins after the video's end.
    """
    if not (0 <= start < end < math.inf):
        raise ValueError(
            f"{path}: a moment from {start:g} to {end:g} s; needed is a start from 0 on, and an "
            "end after it"
        )
    if start >= duration:
        raise ValueError(
            f"{path}: the moment begins at {start:.2f} s, and the video ends at {duration:.2f} s"
        )
    return end if math.isnan(duration) else min(end, duration)


def named(stream: "Stream") -> str:
    """What a stream is: "subtitle (ass)"."""
    return f"{stream.type} ({stream.codec_context.name if stream.codec_context else 'unknown'})"


def open_clip(out: Path) -> "OutputContainer":
    """Open a file to write streams to, of the kind that its suffix says; ValueError for another."""
    options = {"movflags": "faststart"} if out.suffix in (".mp4", ".mov") else {}
    try:
        return import_av().open(str(out), "w", options=options)
    except ValueError as error:
        raise ValueError(
            f"FFmpeg writes no video files named {out.suffix or 'without a suffix'}; name the clip "
            ".mp4, .mov or .mkv"
        ) from error
