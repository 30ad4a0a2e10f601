"""Several kinds of features of the same clips as one: "slowfast+clip" is both, side by side."""

from collections.abc import Sequence

import numpy as np

from vmr_jax.data.tables.statistics import FeatureStatistics, Spread
from vmr_jax.data.tables.video_table import VideoTable

JOIN = "+"  # between the names of kinds


def join_videos(tables: Sequence[VideoTable], names: Sequence[str], dataset: str) -> VideoTable:
    """One table of the first one's videos, with each clip's vectors side by side.

    Of kinds with another number of clips in a video the first ones are taken, as many as the
    shortest has (the public features of QVHighlights differ by a clip). Raises ValueError where a
    kind has not all videos, or is patches.
    """
    first = tables[0]
    rows = [_rows(first, table, name, dataset) for table, name in zip(tables, names, strict=True)]
    counts = [table.num_clips[row] for table, row in zip(tables, rows, strict=True)]
    num_clips = np.min(counts, axis=0)

    def features(video: int) -> np.ndarray:
        """A video's features (num_clips, F) float16."""
        parts = (t.features(int(row[video])) for t, row in zip(tables, rows, strict=True))
        return np.concatenate([part[: num_clips[video]] for part in parts], axis=1)

    return first._replace(
        num_clips=num_clips,
        features=features,
        feature_dim=sum(table.feature_dim for table in tables),
        parts=tuple(table.feature_dim for table in tables),
        statistics=_statistics(tables),
        made_by={},
    )


def _rows(first: VideoTable, table: VideoTable, name: str, dataset: str) -> np.ndarray:
    """The rows of a table's videos in the order of the first table."""
    row = {video: index for index, video in enumerate(table.video_id)}
    missing = [video for video in first.video_id if video not in row]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(first.video_id)} videos of {dataset} have no features "
            f"{name!r}, e.g. {', '.join(missing[:3])}: prepare all kinds of the same videos"
        )
    if table.cells:
        raise ValueError(f"features {name!r} of {dataset} are patches, which cannot be joined")
    return np.array([row[video] for video in first.video_id])


def _statistics(tables: Sequence[VideoTable]) -> FeatureStatistics | None:
    """The statistics of all kinds, side by side; None where one has none."""
    each = [table.statistics for table in tables if table.statistics is not None]
    if len(each) < len(tables):
        return None
    spreads = zip(*each, strict=True)  # raw of each, sqrt of each
    return FeatureStatistics(
        *(Spread(*map(np.concatenate, zip(*kinds, strict=True))) for kinds in spreads)
    )
