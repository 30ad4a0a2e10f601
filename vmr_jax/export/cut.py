"""Cut moments out of videos, as files of their own."""

import errno
import re
from collections.abc import Sequence
from pathlib import Path

from vmr_jax.export.clips import Clip
from vmr_jax.export.copied import copy_moment
from vmr_jax.export.encoded import encode_moment
from vmr_jax.export.results import Result
from vmr_jax.output_files import FullDiskError, whole_path
from vmr_jax.video.reader import import_av

_COPIED = (".mp4", ".mov", ".mkv", ".webm", ".ts", ".avi")  # others are copied to .mkv
_LONGEST_NAME = 80  # characters of a video's id in a file's name


def cut(
    video: str | Path, start_s: float, end_s: float, out: str | Path, *, reencode: bool = False
) -> Clip:
    """Write what a video shows between two times, in seconds, to a file of its own.

    It is copied as it is stored: quick and without loss, with all sounds and subtitles that the
    file's kind can have, but from the key frame at or before `start_s` on, which `Clip.start_s`
    tells. With `reencode` it is exact to the frame: H.264 (MPEG-4 where the build of FFmpeg has
    no H.264) and AAC, turned as the video is, without subtitles. Times count from the video's
    start, and those of the clip from 0. An `end_s` behind the end means the end. A file `out` is
    replaced, once it is whole.

    Raises:
        FileNotFoundError: there is no such video.
        ValueError: the video cannot be read, the moment begins behind its end, `out` is the video
            itself or of a kind that FFmpeg does not write, or PyAV is missing.
        OSError: `out` cannot be written.
    """
    path, out = Path(video), Path(out)
    if out.exists() and path.exists() and out.samefile(path):
        raise ValueError(f"{out} is the video itself; name another file for the clip")
    write = encode_moment if reencode else copy_moment
    av = import_av()
    with whole_path(out) as draft:
        try:
            return write(path, start_s, end_s, draft)._replace(path=out)
        except av.FFmpegError as error:
            if error.errno == errno.ENOSPC:
                raise
            advice = "" if reencode else "; encoded anew it may be readable (--reencode)"
            raise ValueError(
                f"{path}: no clip can be made of it ({error.strerror}){advice}"
            ) from error


def cut_results(
    results: Sequence[Result], folder: str | Path, *, reencode: bool = False
) -> list[Clip | ValueError | OSError]:
    """Cut each result into a file of a folder, which is made: 01-VIDEO-START-END.mp4, in seconds.

    A result that cannot be cut, such as one of a video that vanished, has its error in its place.
    Raises FullDiskError, and OSError where the folder cannot be made.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    digits = max(2, len(str(len(results))))
    clips = []
    for number, result in enumerate(results, 1):
        out = folder / f"{number:0{digits}d}-{_name(result, reencode)}"
        try:
            clips.append(cut(result.path, result.start_s, result.end_s, out, reencode=reencode))
        except FullDiskError:
            raise
        except (ValueError, OSError) as error:
            clips.append(error)
    return clips


def _name(result: Result, reencode: bool) -> str:
    suffix = result.path.suffix.lower()
    if reencode or suffix == ".m4v":
        suffix = ".mp4"
    video = re.sub(r"[^\w.-]+", "_", result.video)[:_LONGEST_NAME]
    times = f"{result.start_s:.2f}-{result.end_s:.2f}"
    return f"{video}-{times}{suffix if suffix in _COPIED else '.mkv'}"
