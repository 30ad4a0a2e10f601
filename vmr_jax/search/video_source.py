"""Where the videos of an index come from: a prepared dataset, or files of features."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.batches.splits import corpus_of
from vmr_jax.data.sources.features import as_float16, notes, open_features
from vmr_jax.data.sources.names import match_names
from vmr_jax.datasets import open_dataset
from vmr_jax.types import Config


class VideoSource(NamedTuple):
    """Videos to index. `read` takes a position in `video_id`."""

    video_id: tuple[str, ...]
    duration: np.ndarray  # (V,) float32 seconds; NaN where it is not known
    # -> features (n, F) and subtitles (R, S) or None, float16; raises ValueError, naming the video
    read: Callable[[int], tuple[np.ndarray, np.ndarray | None]]
    notes: tuple[str, ...] = ()  # how the files are read, a line each


def open_files(videos: str, subtitles: str, key: str = "") -> VideoSource:
    """Videos as files of features, HDF5 or a directory of .npy or .npz; and the same of subtitles.

    `key` is that of `open_features`. Durations are not known. Raises FileNotFoundError, and
    ValueError where a file holds no features of a known kind or a video has no subtitles.
    """
    features = open_features(videos, key=key)
    spoken = open_features(subtitles, key=key) if subtitles else None
    names = match_names(spoken.ids, features.ids) if spoken else {}
    missing = sorted(set(features.ids) - set(names)) if spoken else []
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(features.ids)} videos have no subtitles in {subtitles}, such "
            f"as {', '.join(missing[:3])}: a video in which nobody speaks needs rows of zeros"
        )

    def read(position: int) -> tuple[np.ndarray, np.ndarray | None]:
        video = features.ids[position]
        clips = features.read(video)
        clips = as_float16(clips, clips.shape[1:], video)
        if spoken is None:
            return clips, None
        sub = spoken.read(names[video])
        return clips, as_float16(sub, sub.shape[1:], f"{video} (subtitles)")

    said = [note for source in (features, spoken) if source for note in notes(source)]
    if alike := sorted((video, name) for video, name in names.items() if video != name):
        video, name = alike[0]
        said.append(
            f"{len(alike)} videos have another form of their id in {subtitles}, such as {name!a} "
            f"for {video!a}: taken as one"
        )
    unknown = np.full(len(features.ids), np.nan, np.float32)
    return VideoSource(features.ids, unknown, read, tuple(said))


def open_prepared(name: str, target: Config, data_dir: str) -> VideoSource:
    """The videos of DATASET, or of the corpus of DATASET:SPLIT, with the features `target` names.

    Raises FileNotFoundError where they are not prepared in `data_dir`, ValueError for a split that
    is not there.
    """
    dataset_name, _, split = name.partition(":")
    named = {"dataset": dataset_name, "query_features": ""}
    dataset = open_dataset(Config(target.to_dict() | named), data_dir)
    videos = dataset.videos
    rows = corpus_of(dataset, split) if split else np.arange(len(videos.video_id))

    def read(position: int) -> tuple[np.ndarray, np.ndarray | None]:
        row = int(rows[position])
        return videos.features(row), dataset.subtitles(row) if dataset.subtitles else None

    return VideoSource(tuple(videos.video_id[row] for row in rows), videos.duration[rows], read)


def open_source(
    videos: str, subtitles: str, key: str, target: Config, data_dir: str
) -> VideoSource:
    """What `vmr index --videos` names: files, where there are such, or a prepared dataset.

    Raises as `open_files` and `open_prepared`.
    """
    if Path(videos).exists():
        return open_files(videos, subtitles, key)
    if subtitles or key:
        option = "--subtitles" if subtitles else "--key"
        raise ValueError(f"{option} belongs to files of features, but there are none: {videos}")
    if "/" in videos or Path(videos).suffix in (".h5", ".hdf5"):
        raise FileNotFoundError(f"no features at {videos}")
    return open_prepared(videos, target, data_dir)
