"""Clip features of videos as extractors leave them: one HDF5 file, or a directory of arrays."""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.records import Fault

_VIDEO_FILE = re.compile(r"\.(3g2|3gp|avi|flv|m2ts|m4v|mkv|mov|mp4|mpe?g|mts|webm|wmv)?$", re.I)


FLOAT16_MAX = 65504
SIMULATED = "simulated"  # HDF5 attribute of a file that `vmr simulate` made


class FeatureSource(NamedTuple):
    """Features of many videos by name. Nothing is read before `read` is called."""

    ids: tuple[str, ...]  # sorted
    read: Callable[[str], np.ndarray]  # id -> (N, F) of any float kind, native length
    simulated: bool = False  # made by `vmr simulate`
    faults: tuple[Fault, ...] = ()  # that `read` repairs


def open_features(path: str | Path) -> FeatureSource:
    """Open an HDF5 file with a dataset a video, or a directory of .npy or .npz a video.

    An .npz holds its features under the key "features", or holds one array. In HDF5 a video may
    also be a group that holds one dataset.

    Raises:
        FileNotFoundError: the path does not exist.
        ValueError: it holds no features of a known kind. `read` raises ValueError, naming the
            video, when its array cannot be read or is not of shape (N, F).
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no features at {path}")
    if path.is_file():
        return _open_hdf5(path)
    files = {p.stem: p for p in path.glob("*.npy")} or {p.stem: p for p in path.glob("*.npz")}
    if files:
        return FeatureSource(tuple(sorted(files)), lambda video: _load_array(files[video]))
    raise ValueError(
        f"{path} holds no .npy or .npz file; features are one HDF5 file with a dataset a video, "
        "or a directory with a .npy or .npz file a video"
    )


def from_arrays(features: Mapping[str, np.ndarray]) -> FeatureSource:
    """Serve features (N, F) that are already in memory."""
    return FeatureSource(
        tuple(sorted(features)), lambda video: _two_dimensional(features[video], video)
    )


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


def as_float16(features: np.ndarray, width: int, video: str) -> np.ndarray:
    """Convert features (N, F) to float16, refusing what it cannot hold.

    Raises:
        ValueError: no clips, another width, a value not finite or beyond float16.
    """
    if not len(features):
        raise ValueError(f"the features of {video} have no clips")
    if features.shape[1] != width:
        raise ValueError(f"the features of {video} are {features.shape[1]} wide, others {width}")
    with np.errstate(over="ignore"):
        clips = np.ascontiguousarray(features, np.float16)
    if not np.isfinite(clips).all():
        finite = np.isfinite(features).all()
        reason = f"beyond float16 ({FLOAT16_MAX})" if finite else "NaN or infinite"
        raise ValueError(f"the features of {video} hold a value that is {reason}")
    return clips


def _open_hdf5(path: Path) -> FeatureSource:
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
        try:
            return _two_dimensional(entry[()], where)
        except (OSError, TypeError) as error:
            raise ValueError(f"{where}: cannot be read ({error})") from error

    return FeatureSource(tuple(sorted(file)), read, bool(file.attrs.get(SIMULATED, False)))


def _load_array(path: Path) -> np.ndarray:
    """Load the features (N, F) of one .npy or .npz file."""
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
    return _two_dimensional(array, str(path))


def _two_dimensional(array: np.ndarray, where: str) -> np.ndarray:
    """Check that features are numbers of shape (N, F); axes of length 1 around them are removed."""
    array = np.asarray(array)
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{where}: features are of type {array.dtype}; expected numbers")
    squeezed = array
    while squeezed.ndim > 2 and 1 in squeezed.shape:
        squeezed = squeezed.squeeze(axis=squeezed.shape.index(1))
    if squeezed.ndim != 2:
        raise ValueError(f"{where}: shape {array.shape}; expected (clips, width)")
    return squeezed
