"""Clip features of videos as extractors leave them: one HDF5 file, or a directory of arrays."""

import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Fault
from vmr_jax.data.sources.array_files import (
    SUFFIXES,
    array_size,
    load_array,
    read_attributes,
)
from vmr_jax.data.sources.names import match_names, stem
from vmr_jax.metrics.didemo import SEGMENT, SEGMENTS

FLOAT16_MAX = 65504
_EXPONENT = np.uint16(0x7C00)  # bits of a float16, all of which are set in infinity and NaN
SIMULATED = "simulated"  # HDF5 attribute of a file that `vmr simulate` made
RANDOM = "random"  # HDF5 attribute "weights" of a file that `vmr extract --random-weights` made


class FeatureSource(NamedTuple):
    """Features of many videos by name. Nothing is read before `read` is called."""

    ids: tuple[str, ...]  # sorted
    # id -> (N, F) of any float kind, native length; or patches (N, G, F), a grid of G cells
    read: Callable[[str], np.ndarray]
    made_up: str = ""  # SIMULATED or RANDOM: what the name of such features must say
    faults: tuple[Fault, ...] = ()  # that `read` repairs
    # id -> numbers that `read` gives, or a few more; 0 where only reading tells
    size: Callable[[str], int] = lambda video: 0
    # id -> what the file says of its features and of how all were made, {} where it says nothing
    attributes: Callable[[str], Mapping[str, Any]] = lambda video: {}


def open_features(path: str | Path, *, patches: bool = False, key: str = "") -> FeatureSource:
    """Open an HDF5 file with a dataset a video, or a .npy or .npz of one, or a directory of these.

    An array's file is named as its video. In HDF5 a video may also be a group that holds one
    dataset; this is noted. Where a group or an .npz holds several, `key` names the features; an
    .npz needs none where they are called "features". With `patches` the arrays are (N, G, F), the
    G cells of a square grid row by row; a class token before them (G + 1) is left out, and noted.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: it holds no features of a known kind, or those of a video twice. `read` raises
            ValueError, naming the video, when its array cannot be read whole or is not of shape
            (N, F), or (N, G, F).
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no features at {path}")
    if not patches:
        return _open(path, _two_dimensional, key)
    source = _open(path, _grid, key)
    shape = np.shape(_open(path, lambda array, where: array, key).read(source.ids[0]))
    if len(shape) == 3 and not _is_square(shape[1]):
        noted = "left out; the frame features are the class tokens"
        fault = Fault("class token among the patches", str(path), noted)
        source = source._replace(faults=(*source.faults, fault))
    return source


def notes(source: FeatureSource) -> list[str]:
    """What a command that shows no table of faults says of features that it reads, a line each."""
    return [f"{fault.where}: {fault.kind}: {fault.repair}" for fault in source.faults]


# (an array as it was read, where it is) -> the checked features
_Check = Callable[[np.ndarray, str], np.ndarray]


def _open(path: Path, check: _Check, key: str) -> FeatureSource:
    """Open a file or directory whose arrays `check` brings to their shape."""
    if not path.is_dir() and path.suffix.lower() not in SUFFIXES:
        return _open_hdf5(path, check, key)
    files = _array_files(path) if path.is_dir() else {path.stem: path}

    def read(video: str) -> np.ndarray:
        return check(load_array(files[video], key), str(files[video]))

    ids = tuple(sorted(files))
    told = {video: read_attributes(files[video]) for video in ids}
    made_up = next(filter(None, map(read_made_up, told.values())), "")
    return FeatureSource(
        *(ids, read, made_up),
        size=lambda video: array_size(files[video]),
        attributes=told.__getitem__,
    )


def _array_files(folder: Path) -> dict[str, Path]:
    """The file of each video in a directory. Raises ValueError where some would not be read."""
    paths = sorted(folder.iterdir())
    hdf5 = [path.name for path in paths if path.suffix.lower() in (".h5", ".hdf5")]
    files: dict[str, Path] = {}
    for path in paths:
        if path.suffix.lower() not in SUFFIXES:
            continue
        if path.stem in files:
            raise ValueError(
                f"{folder}: {files[path.stem].name} and {path.name} are features of one video: "
                "keep one of them"
            )
        files[path.stem] = path
    if files and hdf5:
        raise ValueError(
            f"{folder} holds {next(iter(files.values())).name} and {hdf5[0]}: give the HDF5 file "
            "itself, or a directory without one"
        )
    if not files:
        found = f" (but {hdf5[0]}: give that file itself)" if hdf5 else ""
        videos = [path.name for path in paths if stem(path.name) != path.name]
        found = found or (f" (but videos, such as {videos[0]})" if videos else "")
        raise ValueError(
            f"{folder} holds no .npy or .npz file{found}; features are one HDF5 file with a "
            "dataset a video, or a directory with a .npy or .npz file a video"
        )
    return files


def join(sources: Sequence[FeatureSource]) -> FeatureSource:
    """Serve several files of different videos, such as one a split, as one source.

    Raises ValueError where two of them have the same video.
    """
    if len(sources) == 1:
        return sources[0]
    counts = Counter(video for source in sources for video in source.ids)
    twice = sorted(video for video, count in counts.items() if count > 1)
    if twice:
        raise ValueError(
            f"{len(twice)} videos are in several of the {len(sources)} feature files, such as "
            f"{', '.join(twice[:3])}: --features repeats for files of different videos; another "
            "kind of features is prepared by itself, under its own --feature-name"
        )
    holder = {video: source for source in sources for video in source.ids}
    return FeatureSource(
        tuple(sorted(holder)),
        lambda video: holder[video].read(video),
        next((source.made_up for source in sources if source.made_up), ""),
        tuple(fault for source in sources for fault in source.faults),
        lambda video: holder[video].size(video),
        lambda video: holder[video].attributes(video),
    )


def from_arrays(features: Mapping[str, np.ndarray], *, patches: bool = False) -> FeatureSource:
    """Serve features (N, F), or patches (N, G, F), that are already in memory."""
    check = _grid if patches else _two_dimensional
    return FeatureSource(
        tuple(sorted(features)),
        lambda video: check(features[video], video),
        size=lambda video: np.size(features[video]),
    )


def without_didemo_padding(
    features: FeatureSource, durations: Mapping[str, float]
) -> FeatureSource:
    """Leave out the zero rows after the last segment of DiDeMo's videos, and report them.

    The published files (LisaAnne/LocalizingMoments, make_average_video_dict.py) hold SEGMENTS rows
    a video, one a segment; those that a shorter video does not have are zero. Other rows stay. Of a
    video that they hold under two extensions the first is read.
    """
    ids: dict[str, str] = {}
    for name in features.ids:
        ids.setdefault(stem(name), name)
    twice = [
        Fault("video under two extensions", name, "the first is read")
        for name in features.ids
        if ids[stem(name)] != name
    ]
    features = features._replace(ids=tuple(sorted(ids.values())), faults=(*features.faults, *twice))
    padded, faults = {}, []
    for video, name in sorted(match_names(features.ids, durations).items()):
        segments = round(durations[video] / SEGMENT)
        if segments >= SEGMENTS:
            continue
        try:
            rows = features.read(name)
        except ValueError:  # the check of all features reports it
            continue
        if len(rows) == SEGMENTS and not rows[segments:].any():
            padded[name] = segments
            faults.append(Fault("zero rows after the last segment", video, "left out"))

    def read(name: str) -> np.ndarray:
        return features.read(name)[: padded.get(name)]

    return features._replace(read=read, faults=features.faults + tuple(faults))


def as_float16(features: np.ndarray, shape: tuple[int, ...], video: str) -> np.ndarray:
    """Convert features (N, *shape) to float16, refusing what it cannot hold.

    Raises:
        ValueError: no clips, another shape, a value not finite or beyond float16.
    """
    if not len(features):
        raise ValueError(f"the features of {video} have no clips")
    if features.shape[1:] != shape:
        found, others = (" x ".join(map(str, s)) for s in (features.shape[1:], shape))
        raise ValueError(f"the features of {video} are {found} wide, others {others}")
    with np.errstate(over="ignore"):
        clips = np.ascontiguousarray(features, np.float16)
    if ((clips.view(np.uint16) & _EXPONENT) == _EXPONENT).any():  # faster than np.isfinite
        finite = np.isfinite(features).all()
        reason = f"beyond float16 ({FLOAT16_MAX})" if finite else "NaN or infinite"
        raise ValueError(f"the features of {video} hold a value that is {reason}")
    return clips


def read_made_up(attributes: Mapping[str, Any]) -> str:
    """SIMULATED or RANDOM, of a file's attributes; "" of features of real weights."""
    if attributes.get(SIMULATED, False):
        return SIMULATED
    weights = attributes.get("weights")
    return RANDOM if isinstance(weights, str) and weights == RANDOM else ""


def _open_hdf5(path: Path, check: _Check, key: str) -> FeatureSource:
    """Open an HDF5 file with a dataset, or a group with one, a video."""
    from vmr_jax.data.sources.hdf5 import (
        find_dataset,
        key_of_groups,
        naming,
        open_hdf5,
        read_dataset,
    )

    file = open_hdf5(path, "features")
    with naming(str(path)):
        ids = tuple(sorted(file))
        made_up = read_made_up(file.attrs)
        found = key_of_groups(file) if ids and not key else ""
    if not ids:
        raise ValueError(f"{path} is an HDF5 file without a dataset")

    @functools.lru_cache(1)  # what is read is asked for its attributes too
    def dataset(video: str):
        return find_dataset(file, video, key or found, chosen=bool(key))

    def read(video: str) -> np.ndarray:
        with naming(f"{path}: {video}"):
            array = read_dataset(dataset(video))
        return check(array, f"{path}: {video}")

    def attributes(video: str) -> dict[str, Any]:
        with naming(f"{path}: {video}"):
            return {**file.attrs, **dataset(video).attrs}

    where = f"{path}: {ids[0]}/{found}"
    faults = (Fault("features in groups", where, "a group is a video"),) if found else ()
    size = lambda video: math.prod(dataset(video).shape)  # noqa: E731
    return FeatureSource(ids, read, made_up, faults, size, attributes)


def _two_dimensional(array: np.ndarray, where: str) -> np.ndarray:
    """Check that features are numbers of shape (N, F); axes of length 1 around them are removed."""
    squeezed = _numbers(array, where)
    while squeezed.ndim > 2 and 1 in squeezed.shape:
        squeezed = squeezed.squeeze(axis=squeezed.shape.index(1))
    if squeezed.ndim != 2:
        raise ValueError(
            f"{where}: shape {np.shape(array)}; expected (clips, width)"
            + (", or --patches for (frames, cells, width)" if squeezed.ndim == 3 else "")
        )
    return squeezed


def _grid(array: np.ndarray, where: str) -> np.ndarray:
    """Check that patches are numbers (N, G, F) of a square grid; a class token is left out."""
    array = _numbers(array, where)
    if array.ndim == 3 and _is_square(array.shape[1]):
        return array
    if array.ndim == 3 and _is_square(array.shape[1] - 1):
        return array[:, 1:]
    raise ValueError(
        f"{where}: shape {array.shape}; expected patches (frames, cells, width) of a square grid, "
        "such as (T, 49, 512), or with a class token before them, (T, 50, 512)"
    )


def _is_square(number: int) -> bool:
    return number > 0 and math.isqrt(number) ** 2 == number


def _numbers(array: np.ndarray, where: str) -> np.ndarray:
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{where}: features are of type {array.dtype}; expected numbers")
    return array
