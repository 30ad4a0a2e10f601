"""Which frames of a video are wanted, in seconds of its presentation time."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, pairwise
from typing import NamedTuple

import numpy as np

_SLACK = 0.002  # seconds: containers round time stamps to milliseconds


class Frame(NamedTuple):
    """A frame that was sampled."""

    time: float  # seconds from the video's start to where the frame is shown
    image: np.ndarray  # (height, width, 3) uint8, RGB


class Extent(NamedTuple):
    """How far a video reaches, in seconds from its start."""

    last: float  # where its last frame is shown
    end: float  # where that is no longer shown
    duration: float  # what its header says; NaN where it says nothing


@dataclass(frozen=True)
class Sampling:
    """One of four ways to choose frames; the frame nearest to each time is taken.

    Raises ValueError unless exactly one is given, and it is positive; times also ascend.
    """

    fps: float | None = None  # at 0, 1 / fps, 2 / fps, ... seconds
    every: int | None = None  # the first frame, and each that many frames later
    clip_seconds: float | None = None  # at the centres of clips of this length
    times: tuple[float, ...] | None = None  # at these seconds

    def __post_init__(self):
        given = {name: value for name, value in vars(self).items() if value is not None}
        if len(given) != 1:
            found = ", ".join(given) or "none of them"
            raise ValueError(
                f"frames are sampled by one of fps, every, clip_seconds and times; found {found}"
            )
        ((name, value),) = given.items()
        if self.times is not None:
            ascend = all(first < second for first, second in pairwise(self.times))
            if not (self.times and ascend and self.times[0] >= 0 and self.times[-1] < math.inf):
                raise ValueError("times to sample are seconds from 0 on, each once, in order")
        elif not 0 < value < math.inf or (name == "every" and value != int(value)):
            raise ValueError(f"{name} is {value}; expected a positive number")

    @property
    def step(self) -> float:
        """Seconds between two samples, the smallest; 0 for a single time."""
        if self.times is not None:
            return min((later - time for time, later in pairwise(self.times)), default=0.0)
        return 1 / self.fps if self.fps else self.clip_seconds or 0.0

    def targets(self) -> Iterator[float]:
        """The times to sample, ascending and without an end, but for given times."""
        if self.times is not None:
            return iter(self.times)
        if self.fps is not None:
            return (index / self.fps for index in count())
        return ((index + 0.5) * self.step for index in count())

    def reaches(self, target: float, extent: Extent) -> bool:
        """Tell whether the last frame stands for a time behind it.

        It does while it is shown, and for a clip that begins then. Where the header promises more
        than there is, as many files do, it also does for half a step.
        """
        begin = target - (self.clip_seconds or 0.0) / 2
        missing = begin < extent.duration - _SLACK and target <= extent.last + self.step / 2
        return missing or begin < extent.end - _SLACK

    def goes_on(self, target: float, extent: Extent, where: object) -> bool:
        """Like `reaches`, but raises ValueError for one of the given times that is too late."""
        if self.reaches(target, extent):
            return True
        if self.times is not None:
            raise ValueError(f"{where}: no frame at {target:g} s; it ends at {extent.end:.2f} s")
        return False
