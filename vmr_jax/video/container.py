"""Video files, opened by FFmpeg (PyAV) and checked; nothing else is opened on their behalf."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vmr_jax.input_files import require_file
from vmr_jax.video.reader import Reader, import_av

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_PIXELS = 7680 * 4320  # of a frame, as it is shown: 8K
_LISTS = ("concat", "dash", "hls", "imf")  # they name other files, which a video must not open


@contextmanager
def open_video(
    path: Path, max_pixels: int = MAX_PIXELS, threads: int = 0
) -> Iterator[tuple["InputContainer", "VideoStream", Reader]]:
    """Open a file as (container, its moving pictures, their frames), and check what can be now.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: PyAV is missing; the file is empty, no video, has sound only or larger frames
            than `max_pixels`.
    """
    with open_container(path) as container:
        stream = _video_stream(container, path)
        stream.thread_type, stream.thread_count = "AUTO", threads
        stream.codec_context.options = {"max_pixels": str(max_pixels)}
        reader = Reader(path, container, stream)
        height, width = reader.shape
        if min(height, width) < 1:
            raise ValueError(f"{path}: no frame of its video stream can be decoded")
        if height * width > max_pixels:
            raise ValueError(f"{path}: frames of {width} x {height}; the limit is {max_pixels:,}")
        yield container, stream, reader


@contextmanager
def open_container(path: Path) -> Iterator["InputContainer"]:
    """Open a file that FFmpeg reads, whatever streams it has. Raises as `open_video`."""
    av = import_av()
    if not require_file(path, "video").stat().st_size:
        raise ValueError(f"{path} is empty (0 bytes)")
    try:
        container = av.open(
            f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace"
        )
    except av.FFmpegError as error:
        raise ValueError(
            f"{path} is no video that FFmpeg reads, or it is incomplete ({error.strerror})"
        ) from error
    with container:
        if container.format.name in _LISTS:
            raise ValueError(f"{path} is a list of other files ({container.format.name}), no video")
        yield container


def _video_stream(container: "InputContainer", path: Path) -> "VideoStream":
    """The first stream of moving pictures."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:  # a cover
            continue
        if stream.codec_context is None:
            raise ValueError(f"{path}: FFmpeg has no decoder for its pictures")
        return stream
    raise ValueError(
        f"{path} has sound only, no video stream"
        if container.streams.audio
        else f"{path} has no video stream"
    )
