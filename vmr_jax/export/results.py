"""What is exported: moments that were found in video files."""

from pathlib import Path
from typing import NamedTuple


class Result(NamedTuple):
    """A moment that was found in a video file."""

    video: str  # the video's id
    path: Path  # its file
    start_s: float  # seconds
    end_s: float  # seconds
    score: float  # higher is better
    query: str = ""  # the sentence
