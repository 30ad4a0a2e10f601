"""What is exported: moments that were found in video files."""

from collections import Counter
from collections.abc import Iterator, Sequence
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


def ranked(results: Sequence[Result]) -> Iterator[tuple[int, Result]]:
    """Yield each result with its rank, from 1 on, among those of its query."""
    seen = Counter()
    for result in results:
        seen[result.query] += 1
        yield seen[result.query], result


def clock(seconds: float) -> str:
    """Seconds as mm:ss.s."""
    tenths = round(seconds * 10)
    return f"{tenths // 600:02d}:{tenths % 600 / 10:04.1f}"


def label(rank: int, result: Result) -> str:
    """Rank and score of a result, and what was asked for, in a line."""
    return " ".join(f"#{rank} {result.score:.3g} {result.query}".split())
