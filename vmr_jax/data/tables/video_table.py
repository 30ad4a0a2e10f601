"""The videos of a prepared dataset by random access, and the kinds of features that go together."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.sources.subtitles import can_fit, fit_rows
from vmr_jax.data.tables.missing_data import not_prepared, other_queries
from vmr_jax.data.tables.report import read_report
from vmr_jax.data.tables.store import CORPUS, open_rows

Read = Callable[[int], np.ndarray]  # row of the videos -> what is stored of one, float16


class VideoTable(NamedTuple):
    """The corpus of V videos."""

    video_id: tuple[str, ...]
    duration: np.ndarray  # (V,) float32 seconds
    num_clips: np.ndarray  # (V,) int32 native length
    features: Read  # row -> (num_clips, F) float16, read from disk
    feature_dim: int  # F
    cells: int = 0  # G, where they are patches: `features` gives (num_clips, G, F)


def load_videos(root: Path, feature_name: str, queries: str) -> tuple[VideoTable, str]:
    """Open a videos table, and its fingerprint; it must be of the queries that are there.

    Its columns are in memory, its features on disk. Raises FileNotFoundError where it is not
    prepared, and ValueError where it was prepared for other queries.
    """
    directory = root / f"videos-{feature_name}"
    report = read_report(directory)
    if report is None:
        raise not_prepared(root, feature_name)
    # Reports of older versions do not tell which queries the videos were prepared for.
    if report.get("queries_fingerprint") != queries:
        raise other_queries(root, feature_name)
    width, cells = report["width"], report.get("cells", 0)
    shape = (cells, width) if cells else (width,)
    columns = json.loads((directory / "videos.json").read_text("utf-8"))
    read = open_rows(directory, CORPUS)

    def features(row: int) -> np.ndarray:
        """Read a video's features float16; the array is read-only."""
        (value,) = read(row)["features"].bytes_list.value
        return np.frombuffer(value, np.float16).reshape(-1, *shape)

    table = VideoTable(
        video_id=tuple(columns["video_id"]),
        duration=np.array(columns["duration"], np.float32),
        num_clips=np.array(columns["num_clips"], np.int32),
        features=features,
        feature_dim=width,
        cells=cells,
    )
    return table, report["fingerprint"]


def patches_of(
    videos: VideoTable, grids: VideoTable, name: str, feature_name: str, patch_name: str
) -> tuple[Read, tuple[int, int]]:
    """Patches by the row of `videos`, and their shape; every video must have as many frames."""
    if not grids.cells:
        raise ValueError(
            f"features {patch_name!r} of {name} are not patches (frames, cells, width): name a "
            "kind of features that `vmr prepare --patches` wrote"
        )
    where = _rows_of(videos, grids, name, feature_name, f"patches {patch_name!r}")
    wrong = np.flatnonzero(grids.num_clips[where] != videos.num_clips)
    if len(wrong):
        first = wrong[0]
        raise ValueError(
            f"{len(wrong)} videos of {name} have another number of frames in the patches, e.g. "
            f"{videos.video_id[first]}: {grids.num_clips[where[first]]} of {patch_name!r}, "
            f"{videos.num_clips[first]} of {feature_name!r}; extract both from the same frames"
        )
    return lambda index: grids.features(int(where[index])), (grids.cells, grids.feature_dim)


def subtitles_of(
    videos: VideoTable, spoken: VideoTable, name: str, feature_name: str, subtitle_name: str
) -> tuple[Read, int]:
    """Subtitles (num_clips, S) by the row of `videos`, and how many videos they are fitted to.

    They are fitted as `fit_rows` does. Raises ValueError where that cannot be, where a video has
    none, and where they are patches.
    """
    if spoken.cells:
        raise ValueError(
            f"features {subtitle_name!r} of {name} are patches of frames: subtitles are one vector "
            "a clip"
        )
    where = _rows_of(videos, spoken, name, feature_name, f"subtitles {subtitle_name!r}")
    rows = spoken.num_clips[where]
    wrong = np.flatnonzero(~can_fit(rows, videos.num_clips))
    if len(wrong):
        first = wrong[0]
        raise ValueError(
            f"{len(wrong)} videos of {name} have another number of clips in the subtitles, e.g. "
            f"{videos.video_id[first]}: {rows[first]} of {subtitle_name!r}, "
            f"{videos.num_clips[first]} of {feature_name!r}; pool both into clips of one length"
        )

    def read(index: int) -> np.ndarray:
        """Read a video's subtitles, as many rows as it has clips."""
        of_video = spoken.features(int(where[index]))
        return fit_rows(of_video, int(videos.num_clips[index]), videos.video_id[index])

    return read, int((rows != videos.num_clips).sum())


def _rows_of(
    videos: VideoTable, others: VideoTable, name: str, feature_name: str, what: str
) -> np.ndarray:
    """The row of `others` of each of the videos; every video must be there."""
    row = {video: index for index, video in enumerate(others.video_id)}
    missing = [video for video in videos.video_id if video not in row]
    if missing:
        kind = what.split(" ")[0]
        raise ValueError(
            f"{len(missing)} of {len(videos.video_id)} videos of {name} have features "
            f"{feature_name!r}, but no {what}, e.g. {', '.join(missing[:3])}: "
            f"prepare {kind} of all videos, or both kinds with --drop-missing"
        )
    return np.array([row[video] for video in videos.video_id])
