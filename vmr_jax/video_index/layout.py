"""What an index of video files is on the disk, and what of it is opened for a search.

    frames.h5      the rows of all frames as `vmr extract` writes them: a dataset a video, with
                   what it was made from; it alone is enough to make the rest anew
    index.json     the videos in the order of their rows, and the names of the two files of rows
    rows-*.npy     (N, width) float16 of all frames of all videos, each of length 1
    times-*.npy    (N,) float32 seconds of each frame in its video
    run.json       the trained run that searches ask, if one was named

index.json names files of rows that are whole, and takes the place of the one before at once.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from vmr_jax.data.sources.hdf5 import naming, open_hdf5
from vmr_jax.input_files import digest, require_file
from vmr_jax.output_files import whole_path, write_whole

FORMAT = "vmr_jax video index 1"
MANIFEST = "index.json"
FRAMES = "frames.h5"
RUN = "run.json"  # the trained run that searches ask, if there is one


class IndexedVideo(NamedTuple):
    """A video of an index."""

    id: str
    path: Path  # where it was when it was indexed
    sha256: str  # of the file
    duration: float  # seconds
    frames: int
    generic_mean: float  # of its frames' similarities to the generic prompts
    generic_spread: float  # their deviation


class Opened(NamedTuple):
    """An index in memory; the rows stay on the disk until they are read."""

    encoder: str
    weights: str  # as `vmr index` was given them, "" for those that are named as the encoder
    weights_sha256: str
    clip_seconds: float
    videos: tuple[IndexedVideo, ...]
    rows: np.ndarray  # (N, width) float16, each of length 1
    times: np.ndarray  # (N,) float32 seconds
    begin: np.ndarray  # (V + 1,) where each video's rows begin


def is_video_index(index: str | Path) -> bool:
    """Tell an index of video files from another folder."""
    try:
        found = json.loads((Path(index) / MANIFEST).read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("format") == FORMAT


def require_index(index: str | Path) -> Path:
    """The index.json of an index. Raises FileNotFoundError where there is none."""
    return require_file(Path(index) / MANIFEST, "index (`vmr index VIDEOS --out` makes one)")


def open_layout(index: str | Path) -> Opened:
    """Open an index, which another process may be writing.

    Raises FileNotFoundError where there is none, and ValueError for one that is damaged.
    """
    index = Path(index)
    path = require_index(index)
    try:
        try:
            return _open(index, read_manifest(path))
        except FileNotFoundError:  # its rows were replaced after it was read
            return _open(index, read_manifest(path))
    except (KeyError, TypeError, ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"{index} is damaged ({error}): delete it, and the same `vmr index` makes it anew"
        ) from error


def _open(index: Path, manifest: dict[str, Any]) -> Opened:
    videos = tuple(
        IndexedVideo(**{**video, "path": Path(video["path"])}) for video in manifest["videos"]
    )
    files = [index / manifest[name] for name in ("rows", "times")]
    rows, times = (np.load(file, mmap_mode="r", allow_pickle=False) for file in files)
    begin = np.cumsum([0, *(video.frames for video in videos)])
    if not len(rows) == len(times) == begin[-1]:
        raise ValueError(f"{len(rows)} rows, {len(times)} times, {begin[-1]} frames")
    settings = {name: manifest[name] for name in _SETTINGS}
    return Opened(**settings, videos=videos, rows=rows, times=times, begin=begin)


_SETTINGS = ("encoder", "weights", "weights_sha256", "clip_seconds")


def read_manifest(path: Path) -> dict[str, Any]:
    """Read index.json. Raises ValueError where it is damaged or of another kind."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error}): delete it and index again") from error
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ValueError(f"{path} is no index of video files")
    return found


def write_layout(
    index: Path,
    settings: tuple[str, str, str, float],
    paths: dict[str, Path],
    generic: np.ndarray,
) -> Sequence[IndexedVideo]:
    """Make the files of rows of what frames.h5 holds of the videos of `paths`, then index.json.

    `generic` (P, width) are the vectors of the generic prompts, of length 1. Files of rows that no
    index.json names any more are removed.
    """
    videos, seconds = [], []
    source = index / FRAMES
    with open_hdf5(source, "features") as file, naming(str(source)):
        datasets = {name: file[name] for name in sorted(paths.keys() & set(map(str, file)))}
        count = sum(map(len, datasets.values()))  # pyright: ignore[reportArgumentType]
        with _stored(index, "rows", (count, generic.shape[1]), np.float16) as rows:
            at = 0
            for name, dataset in datasets.items():
                assert isinstance(dataset, h5py.Dataset)
                unit = unit_rows(dataset[:].astype(np.float32))
                rows.array[at : at + len(unit)] = unit
                at += len(unit)
                videos.append(_described(name, paths[name], dataset, unit @ generic.T))
                seconds.append(np.asarray(dataset.attrs["times"], np.float32))
    with _stored(index, "times", (count,), np.float32) as times:
        times.array[:] = np.concatenate([np.empty(0, np.float32), *seconds])
    named = {"rows": rows.name, "times": times.name}
    shown = [video._asdict() | {"path": str(video.path)} for video in videos]
    described = {"format": FORMAT, **dict(zip(_SETTINGS, settings, strict=True)), **named}
    write_whole(index / MANIFEST, json.dumps(described | {"videos": shown}, indent=1) + "\n")
    for old in [*index.glob("rows-*.npy"), *index.glob("times-*.npy")]:
        if old.name not in named.values():
            old.unlink()
    return videos


def unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows (N, width) of length 1; one of zeros stays."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _described(name: str, path: Path, dataset: h5py.Dataset, generic: np.ndarray) -> IndexedVideo:
    """A video of a file of frames, whose similarities to the generic prompts are (N, P)."""
    last = float(dataset.attrs["times"][-1])  # pyright: ignore[reportIndexIssue, reportArgumentType]
    duration = max(np.asarray(dataset.attrs["duration"]).item(), last)
    facts = len(generic), float(generic.mean()), float(generic.std())
    return IndexedVideo(name, path, str(dataset.attrs["source_sha256"]), duration, *facts)


class _Stored:
    """An array that is being written to a file, and the file's name once it is."""

    def __init__(self, array: np.memmap):
        self.array, self.name = array, ""


@contextmanager
def _stored(index: Path, name: str, shape: tuple[int, ...], dtype: type) -> Iterator[_Stored]:
    """Give an array to fill, which lies on the disk, under a name that then tells its content."""
    size = math.prod(shape) * np.dtype(dtype).itemsize
    with whole_path(index / f"{name}.npy", size) as draft:
        stored = _Stored(np.lib.format.open_memmap(draft, "w+", dtype, shape))
        yield stored
        stored.array.flush()
        stored.name = f"{name}-{digest(draft)[:16]}.npy"
    os.replace(index / f"{name}.npy", index / stored.name)
