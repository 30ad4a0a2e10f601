"""The frames of a video as an encoder takes them, in pieces; JAX is not imported here."""

import math
from collections.abc import Callable, Iterator
from itertools import islice
from typing import NamedTuple

import numpy as np

from vmr_jax.extract.origin import Origin, origin_of
from vmr_jax.video.reader import BrokenVideoError
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import FrameSource

_PIECE = 16  # frames


class Piece(NamedTuple):
    """Consecutive frames of a video."""

    video: int  # its number
    seconds: list[float]  # where each is shown
    pixels: np.ndarray  # (n, ...) uint8, what the encoder takes
    duration: float  # of the video in seconds, NaN where it is not known


class Whole(NamedTuple):
    """A video was read to its end."""

    video: int
    duration: float
    origin: Origin


class Unreadable(NamedTuple):
    """A video gives no features."""

    video: int
    reason: str  # a line
    second: float  # of the last good frame; NaN where there was none


Event = Piece | Whole | Unreadable


def read_video(
    number: int,
    video: FrameSource,
    sampling: Sampling,
    crop: Callable[[np.ndarray], np.ndarray],
) -> Iterator[Event]:
    """Yield a video's frames at the times of `sampling`, each through `crop`, and how it ended.

    Whatever error its files raise, and damaged ones raise many, makes it Unreadable.
    """
    try:
        duration = video.duration()
        frames, last = video.frames(sampling), None
        while part := list(islice(frames, _PIECE)):
            pixels = np.stack([crop(frame.image) for frame in part])
            last = Piece(number, [frame.time for frame in part], pixels, duration)
            yield last
        if last is None:
            raise ValueError(f"{video.path}: it has no frame at the times that are sampled")
        yield Whole(number, duration, origin_of(video))
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        second = error.second if isinstance(error, BrokenVideoError) else math.nan
        yield Unreadable(number, reason, second)
