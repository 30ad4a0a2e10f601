"""Results as the subtitles of a video: a player shows them where they are."""

from collections.abc import Sequence
from pathlib import Path

from vmr_jax.export.results import Result, label, ranked
from vmr_jax.output_files import write_whole

_SHORTEST = 1  # milliseconds


def write_srt(out: str | Path, results: Sequence[Result]) -> list[Result]:
    """Write those results as SubRip that are in the video of the first one; returns these.

    A subtitle is rank, score and query, in the order of the times. Raises ValueError where there
    are no results, and OSError.
    """
    if not results:
        raise ValueError(f"{out}: there are no results to write as subtitles")
    of_video = [item for item in ranked(results) if item[1].path == results[0].path]
    in_time = sorted(of_video, key=lambda item: (item[1].start_s, item[1].end_s))
    blocks = [
        f"{number}\n{_times(result)}\n{label(rank, result)}\n"
        for number, (rank, result) in enumerate(in_time, 1)
    ]
    write_whole(out, "\n".join(blocks))
    return [result for _, result in in_time]


def _times(result: Result) -> str:
    start = round(result.start_s * 1000)
    end = max(round(result.end_s * 1000), start + _SHORTEST)
    return f"{_clock(start)} --> {_clock(end)}"


def _clock(milliseconds: int) -> str:
    """Milliseconds as hh:mm:ss,mmm."""
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{seconds:02d},{rest:03d}"
