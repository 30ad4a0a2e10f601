"""Clip features of videos as extractors leave them: one HDF5 file, or a directory of arrays."""

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Fault
from vmr_jax.metrics.didemo import SEGMENT, SEGMENTS

_VIDEO_FILE = re.compile(r"\.(3g2|3gp|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|webm|wmv)?$", re.I)


FLOAT16_MAX = 65504
SIMULATED = "simulated"  # HDF5 attribute of a file that `vmr simulate` made


class FeatureSource(NamedTuple):
    """Features of many videos by name. Nothing is read before `read` is called."""

    ids: tuple[str, ...]  # sorted
    # id -> (N, F) of any float kind, native length; or patches (N, G, F), a grid of G cells
    read: Callable[[str], np.ndarray]
    simulated: bool = False  # made by `vmr simulate`
    faults: tuple[Fault, ...] = ()  # that `read` repairs


def open_features(path: str | Path, *, patches: bool = False) -> FeatureSource:
    """Open an HDF5 file with a dataset a video, or a .npy or .npz of one, or a directory of these.

    An array's file is named as its video. An .npz holds its features under the key "features", or
    holds one array. In HDF5 a video may also be a group that holds one dataset. With `patches` the
    arrays are (N, G, F), the G cells of a square grid row by row; a class token before them (G + 1)
    is left out, and noted.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: it holds no features of a known kind. `read` raises ValueError, naming the
            video, when its array cannot be read or is not of shape (N, F), or (N, G, F).
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no features at {path}")
    if not patches:
        return _open(path, _two_dimensional)
    source = _open(path, _grid)
    shape = np.shape(_open(path, lambda array, where: array).read(source.ids[0]))
    if len(shape) == 3 and not _is_square(shape[1]):
        noted = "left out; the frame features are the class tokens"
        source = source._replace(faults=(Fault("class token among the patches", str(path), noted),))
    return source


# (an array as it was read, where it is) -> the checked features
_Check = Callable[[np.ndarray, str], np.ndarray]


def _open(path: Path, check: _Check) -> FeatureSource:
    """Open a file or directory whose arrays `check` brings to their shape."""
    if path.is_file() and path.suffix not in (".npy", ".npz"):
        return _open_hdf5(path, check)
    paths = [path] if path.is_file() else list(path.glob("*.npy")) or list(path.glob("*.npz"))
    files = {path.stem: path for path in paths}
    if files:
        return FeatureSource(tuple(sorted(files)), lambda video: _load_array(files[video], check))
    raise ValueError(
        f"{path} holds no .npy or .npz file; features are one HDF5 file with a dataset a video, "
        "or a directory with a .npy or .npz file a video"
    )


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
    readers = {video: source.read for source in sources for video in source.ids}
    return FeatureSource(
        tuple(sorted(readers)),
        lambda video: readers[video](video),
        any(source.simulated for source in sources),
        tuple(fault for source in sources for fault in source.faults),
    )


def from_arrays(features: Mapping[str, np.ndarray], *, patches: bool = False) -> FeatureSource:
    """Serve features (N, F), or patches (N, G, F), that are already in memory."""
    check = _grid if patches else _two_dimensional
    return FeatureSource(tuple(sorted(features)), lambda video: check(features[video], video))


def match_names(ids: Iterable[str], videos: Iterable[str]) -> dict[str, str]:
    """Find each video's features: video id -> feature id, for the videos that have them.

    The names are equal, or equal once the extension of a video file is taken off (DiDeMo's
    features carry it). Of several extensions the first in the order of `ids` is taken.
    """
    exact, stems = set(), {}
    for name in ids:
        exact.add(name)
        stems.setdefault(_VIDEO_FILE.sub("", name), name)
    found = {}
    for video in videos:
        name = video if video in exact else stems.get(video)
        if name is not None:
            found[video] = name
    return found


def without_didemo_padding(
    features: FeatureSource, durations: Mapping[str, float]
) -> FeatureSource:
    """Leave out the zero rows after the last segment of DiDeMo's videos, and report them.

    The published files (LisaAnne/LocalizingMoments, make_average_video_dict.py) hold SEGMENTS rows
    a video, one a segment; those that a shorter video does not have are zero. Other rows stay.
    """
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
    if not np.isfinite(clips).all():
        finite = np.isfinite(features).all()
        reason = f"beyond float16 ({FLOAT16_MAX})" if finite else "NaN or infinite"
        raise ValueError(f"the features of {video} hold a value that is {reason}")
    return clips


def _open_hdf5(path: Path, check: _Check) -> FeatureSource:
    """Open an HDF5 file with a dataset, or a group of one dataset, a video."""
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise ValueError(f"{path} cannot be read as HDF5; is it complete? ({error})") from error
    if not len(file):
        raise ValueError(f"{path} is an HDF5 file without a dataset")

    def read(video: str) -> np.ndarray:
        entry = file[video]
        where = f"{path}: {video}"
        if isinstance(entry, h5py.Group):
            if len(entry) != 1:
                raise ValueError(f"{where}: a group of {len(entry)} entries; expected one dataset")
            entry = next(iter(entry.values()))
        if not isinstance(entry, h5py.Dataset):
            raise ValueError(f"{where}: expected a dataset")
        try:
            return check(entry[()], where)
        except (OSError, TypeError) as error:
            raise ValueError(f"{where}: cannot be read ({error})") from error

    return FeatureSource(tuple(sorted(file)), read, bool(file.attrs.get(SIMULATED, False)))


def _load_array(path: Path, check: _Check) -> np.ndarray:
    """Load the features of one .npy or .npz file."""
    try:
        array = np.load(path, allow_pickle=False)
        if isinstance(array, np.lib.npyio.NpzFile):
            with array as entries:
                keys = entries.files
                if "features" not in keys and len(keys) != 1:
                    raise ValueError(f'it holds {keys}; expected one array, or the key "features"')
                array = entries["features" if "features" in keys else keys[0]]
    except Exception as error:  # numpy raises many kinds on a damaged file
        raise ValueError(f"{path}: cannot be read ({error or type(error).__name__})") from error
    return check(array, str(path))


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
