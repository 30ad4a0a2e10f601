"""Frames of a video file at given times, decoded by FFmpeg (PyAV) as a stream."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vmr_jax.video.container import MAX_PIXELS, open_video
from vmr_jax.video.reader import BrokenVideoError, Decoded, Reader, import_av
from vmr_jax.video.sampling import Extent, Frame, Sampling

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MISSING_END = 1.0  # seconds: a file that ends earlier than its header says is incomplete
_LONGEST_GAP = 3600.0  # seconds from a time to the nearest frame, beyond which stamps are wrong


class VideoInfo(NamedTuple):
    """What a video file says of itself."""

    duration: float  # seconds from the start to the end of the pictures; NaN where not known
    rate: float  # frames a second, the mean; NaN where not known
    width: int  # as it is shown: rotated, with square pixels
    height: int
    start: float  # the time stamp, in seconds, that counts as 0: the file's earliest


def read_info(path: str | Path, max_pixels: int = MAX_PIXELS) -> VideoInfo:
    """Open a video and decode its first frame.

    Raises as `sample_frames`.
    """
    with open_video(Path(path), max_pixels) as (_, _, reader):
        first = next(reader)
        height, width = _orient(np.empty(reader.shape, bool), first.frame).shape
        return VideoInfo(reader.duration, reader.rate, width, height, reader.start)


def sample_frames(
    path: str | Path, sampling: Sampling, max_pixels: int = MAX_PIXELS, threads: int = 0
) -> Iterator[Frame]:
    """Decode a video and yield a frame for each time of `sampling`, in order, all of one size.

    Times are presentation time stamps, from the earliest of the file on, as players count them;
    rate and numbers of frames play no part. The frame nearest to a time is taken, so that it is at
    most half the distance of two frames off; a picture that begins late, or a header that promises
    more than there is, makes it the first or the last frame, and the last one stands for at most
    half a sampling step. What lies between samples is skipped from key frame to key frame where
    that is possible. At no time are more than a few frames in memory, and a few for each of the
    `threads` that decode; 0 are as many as there are cores.

    Frames are as they are shown, in RGB: rotated, with square pixels, without alpha. Interlaced
    ones are not filtered, and a high dynamic range is not mapped to a lower one.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: PyAV is missing; the file is empty, no video, has sound only or larger frames
            than `max_pixels`; it ends before one of the given times.
        BrokenVideoError: it is damaged or ends early, after the frames before that.
    """
    path = Path(path)
    with open_video(path, max_pixels, threads) as (_, _, reader):
        chosen = _every(reader, sampling.every) if sampling.every else _nearest(reader, sampling)
        convert = import_av().video.reformatter.VideoReformatter().reformat  # it keeps its tables
        height, width = reader.shape
        for decoded in chosen:
            flat = convert(decoded.frame, width=width, height=height, format="rgb24", threads=1)
            image = _orient(flat.to_ndarray(), decoded.frame)
            yield Frame(decoded.time, np.ascontiguousarray(image))


def _every(reader: Reader, number: int) -> Iterator[Decoded]:
    """Yield the first frame and each `number` frames later."""
    last = next(reader)
    yield last
    for index, last in enumerate(reader, 1):
        if index % number == 0:
            yield last
    _check_end(reader, last)


def _nearest(reader: Reader, sampling: Sampling) -> Iterator[Decoded]:
    """Yield the frame that is nearest to each target."""
    before, current = None, next(reader)
    for target in sampling.targets():
        skipped = False
        while current.time < target:
            if not skipped and reader.can_skip(target):
                before, current, skipped = None, reader.skip(target), True
            elif following := next(reader, None):
                before, current = current, following
            else:
                break
        if current.time < target:
            extent = Extent(current.time, current.time + current.duration, reader.duration)
            if not sampling.reaches(target, extent):
                _check_end(reader, current)
            if not sampling.goes_on(target, extent, reader.path):
                return
        if before and target - before.time <= current.time - target:
            chosen = before
        else:
            chosen = current
        if abs(chosen.time - target) > max(_LONGEST_GAP, sampling.step):
            stamps = f"its time stamps jump to {current.time:.0f} s"
            raise BrokenVideoError(reader.path, (before or current).time, reader.duration, stamps)
        yield chosen


def _check_end(reader: Reader, last: Decoded) -> None:
    """Raise BrokenVideoError where a file was read to its end, earlier than its header says."""
    if reader.read_to < reader.file_end - _MISSING_END:
        raise BrokenVideoError(reader.path, last.time, reader.duration, "it is incomplete")


def display_matrix(frame: "VideoFrame") -> list[int]:
    """The nine numbers by which a frame is turned or mirrored (libavutil/display.h), or none."""
    data = frame.side_data.get("DISPLAYMATRIX")
    return [] if data is None else np.frombuffer(data, np.int32)[:9].tolist()  # pyright: ignore[reportArgumentType, reportCallIssue]  # it has a buffer


def _orient(image: np.ndarray, frame: "VideoFrame") -> np.ndarray:
    """Turn or mirror an image (height, width, ...) by the frame's display matrix.

    The matrix [a b; c d] moves (x, y) to (a x + c y, b x + d y). Of an angle that is no multiple of
    90 degrees the nearest is taken.
    """
    matrix = display_matrix(frame)
    if not matrix:
        return image
    a, b, _, c, d = matrix[:5]
    if abs(a) + abs(d) < abs(b) + abs(c):
        image = image.swapaxes(0, 1)
        a, d = c, b
    return image[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]
