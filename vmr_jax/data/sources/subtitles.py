"""Subtitle features of clips: pooled from those of tokens, fitted to those of images.

The files of TVR's release (jayleicn/TVRetrieval, utils/text_feature) hold for each video
`<video>` (tokens, S), the tokens of its subtitle lines one after the other, and
`<video>-lengths` (lines,), how many tokens each line has.
"""

import functools
from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.records import Annotations, Fault
from vmr_jax.data.sources.features import FeatureSource, read_made_up

_LENGTHS = "-lengths"
_SLACK = 1  # rows that the subtitles of a video may have more or less than its features


def pool_subtitles(path: str | Path, annotations: Annotations, seconds: float) -> FeatureSource:
    """Serve (N, S) float32 a video, N its duration over the clips' `seconds`, rounded up.

    A line from s to e belongs to the clips floor(s / seconds) ... ceil(e / seconds) - 1; a clip is
    the maximum over the tokens of its lines, zero without a line (PREM, section 3.2). Videos that
    the subtitles have no line of are zero. Where a video has fewer lengths than lines, its last
    lines have no tokens; that is noted.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not HDF5, the annotations have no subtitles, or `seconds` is not positive;
            from `read`: the lengths do not fit the tokens or the lines (video named).
    """
    from vmr_jax.data.sources.hdf5 import find_dataset, naming, open_hdf5, read_dataset

    path = Path(path)
    if not seconds > 0:
        raise ValueError(f"subtitles cannot be pooled into clips of {seconds} s")
    if not annotations.subtitles:
        raise ValueError(
            f"the annotations of {annotations.name} hold no subtitles: to pool their features into "
            "clips their times are needed (tvqa_preprocessed_subtitles.jsonl)"
        )
    file = open_hdf5(path, "subtitle features")
    stored = functools.partial(find_dataset, file)
    lines = {video: annotations.subtitles.get(video, []) for video in annotations.durations}
    with naming(str(path)):
        ids, made_up = set(map(str, file)), read_made_up(file.attrs)
    widths = (stored(name).shape[-1] for name in sorted(ids) if not name.endswith(_LENGTHS))
    width = next(widths, 0)
    faults = []
    for video, of_video in lines.items():
        if not of_video:
            faults.append(Fault("video without subtitles", video, "its subtitle rows are zero"))
        elif f"{video}{_LENGTHS}" in ids and len(stored(f"{video}{_LENGTHS}")) < len(of_video):
            repair = "the last lines carry nothing"
            faults.append(Fault("subtitle lines without tokens", video, repair))

    def read(video: str) -> np.ndarray:
        """Pool one video's tokens."""
        count = int(np.ceil(round(annotations.durations[video] / seconds, 6)))
        if not lines[video]:
            return np.zeros((count, width), np.float32)
        where = f"{path}: {video}"
        if f"{video}{_LENGTHS}" not in ids:
            raise ValueError(f"{where}: no {video}{_LENGTHS}, the number of tokens of each line")
        tokens = np.asarray(read_dataset(stored(video)), np.float32)
        lengths = np.asarray(read_dataset(stored(f"{video}{_LENGTHS}")), np.int64)
        if tokens.ndim != 2 or lengths.sum() != len(tokens):
            raise ValueError(
                f"{where}: tokens of shape {tokens.shape}, but the lines have {lengths.sum()}"
            )
        if len(lengths) > len(lines[video]):
            raise ValueError(
                f"{where}: {len(lengths)} lines of tokens, but {len(lines[video])} subtitle lines"
            )
        times = np.array([line[:2] for line in lines[video][: len(lengths)]])
        return _pool(np.split(tokens, np.cumsum(lengths)[:-1]), times / seconds, count)

    found = tuple(sorted(video for video in lines if video in ids or not lines[video]))
    return FeatureSource(found, read, made_up, tuple(faults))


def can_fit(rows: np.ndarray | int, clips: np.ndarray | int) -> np.ndarray | bool:
    """Whether `fit_rows` takes subtitles of so many rows for videos of so many clips."""
    return abs(rows - clips) <= _SLACK


def fit_rows(subtitles: np.ndarray, clips: int, video: str) -> np.ndarray:
    """Subtitles (R, S) of a video as (clips, S).

    Two extractors may count the last clip of a video or not: a row too many is cut off, a row too
    few is filled with zeros. Raises ValueError where the numbers differ by more.
    """
    if not can_fit(len(subtitles), clips):
        raise ValueError(
            f"{video} has {len(subtitles)} rows of subtitles for {clips} clips: pool both into "
            "clips of one length"
        )
    rows = subtitles[:clips]
    return np.pad(rows, ((0, clips - len(rows)), (0, 0)))


def _pool(lines: list[np.ndarray], times: np.ndarray, count: int) -> np.ndarray:
    """The maximum over the tokens of the lines of each of `count` clips; times in clips."""
    pooled = np.full((count, lines[0].shape[1]), -np.inf, np.float32)
    spoken = np.zeros(count, bool)
    for tokens, (start, end) in zip(lines, times, strict=True):
        if len(tokens):
            covered = slice(max(int(np.floor(start)), 0), max(int(np.ceil(end)), 0))
            pooled[covered] = np.maximum(pooled[covered], tokens.max(axis=0))
            spoken[covered] = True
    pooled[~spoken] = 0
    return pooled
