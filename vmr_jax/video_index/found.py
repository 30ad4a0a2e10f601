"""A moment that a search of an index of video files finds."""

from pathlib import Path
from typing import NamedTuple


class Found(NamedTuple):
    """A moment in a video of an index."""

    video: str
    path: Path
    start_s: float
    end_s: float
    score: float  # comparable between videos, for one sentence
    probability: float | None = None  # that it is right, by `vmr calibrate`; None for what is said
    found_by: str = "video"  # or "speech", "speech+video"; "trained" for "video" by a trained run
