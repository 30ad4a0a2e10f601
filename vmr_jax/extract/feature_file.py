"""A feature file that grows a video at a time, and is whole at any moment."""

import hashlib
import math
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vmr_jax.data.sources.hdf5 import naming, open_hdf5
from vmr_jax.extract.origin import is_origin
from vmr_jax.output_files import needing_space, sync, whole_path
from vmr_jax.video.sources import FrameSource

SETTINGS = (
    *("encoder", "weights", "preprocessing", "precision"),
    *("fps", "every", "clip_seconds"),
)
LIBVER = ("v108", "v110")  # from HDF5 1.8 on an attribute may be larger than 64 KB
_OVERHEAD = 16384  # bytes of an HDF5 file beside the rows and times


class FeatureFile:
    """Features (rows, width) float16 of videos in one HDF5 file, a dataset a video.

    Until `join`, each video is a file of its own in the folder OUT.parts, which the caller has
    locked. Each is complete or not there, so that the same command goes on after any end.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        """Open what is there. Raises ValueError where it was made with other settings."""
        self.out = Path(os.path.realpath(out))
        self.parts = parts_folder(out)
        self._settings = dict(settings)
        self._joined = self.parts / "joined"
        self._joined.unlink(missing_ok=True)
        for draft in self.parts.glob(".draft-*"):  # of a process that was killed
            draft.unlink()
        self._there: dict[str, tuple[Path, dict[str, Any]]] = {}  # id -> its file, attributes
        for path in ([self.out] if self.out.exists() else []) + sorted(self.parts.glob("*.h5")):
            with open_hdf5(path, "features") as file, naming(str(path)):
                settings = dict(file.attrs)
                found = {name: (path, dict(file[name].attrs)) for name in map(str, file)}
            refuse_others(path, settings, self._settings)
            self._there |= found

    def holds(self, video: FrameSource) -> bool:
        """Tell whether the features of a video are there, made from these very files."""
        return video.id in self._there and is_origin(self._there[video.id][1], video)

    def add(self, video: str, rows: np.ndarray, attributes: Mapping[str, Any]) -> None:
        """Store a video's rows (N, width) and its dataset's attributes, all or nothing."""
        path = self.parts / f"{hashlib.sha256(video.encode()).hexdigest()[:32]}.h5"
        size = rows.nbytes + sum(np.asarray(a).nbytes for a in attributes.values()) + _OVERHEAD
        with whole_path(path, size) as draft, h5py.File(draft, "w", libver=LIBVER) as file:
            file.attrs.update(self._settings)
            file.create_dataset(video, data=rows).attrs.update(attributes)
        self._there[video] = path, dict(attributes)

    def join(self) -> None:
        """Make one file of what is there, and remove the parts."""
        parts = sorted(self.parts.glob("*.h5"))
        if not parts:
            return
        files = [self.out, *parts] if self.out.exists() else parts
        with needing_space(self.out, sum(path.stat().st_size for path in files)):
            with h5py.File(self._joined, "w", libver=LIBVER) as joined:
                joined.attrs.update(self._settings)
                for path in files:
                    with open_hdf5(path, "features") as file:
                        for name in map(str, file):
                            if self._there[name][0] == path:
                                file.copy(name, joined)
            sync(self._joined)
            self._joined.replace(self.out)
            sync(self.out.parent)
        for path in parts:
            path.unlink()
        self._there = {name: (self.out, found) for name, (_, found) in self._there.items()}


def refuse_others(where: Path, found: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    """Raise ValueError for features there that have other settings, or are another program's."""
    if "encoder" not in found:
        raise ValueError(f"{where} was not made by `vmr extract`: give another --out")
    if told := differences(found, settings, "there", "now"):
        raise ValueError(
            f"{where} was made with other settings ({told}): give the same, or another --out"
        )


def differences(one: Mapping[str, Any], other: Mapping[str, Any], here: str, there: str) -> str:
    """Say which settings two files do not share, and what they are in each; "" where none."""
    return "; ".join(
        f"{key} is {one.get(key, 'not given')} {here}, {other.get(key, 'not given')} {there}"
        for key in SETTINGS
        if not _equal(one.get(key), other.get(key))
    )


def parts_folder(out: Path) -> Path:
    """Where the videos of a file are until they are joined."""
    target = Path(os.path.realpath(out))
    return target.with_name(f"{target.name}.parts")


def drop_parts_folder(out: Path) -> None:
    """Remove the folder of the parts, if none is left."""
    with suppress(OSError):  # it is not empty
        parts_folder(out).rmdir()


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float | np.floating) and isinstance(other, float | np.floating):
        return math.isclose(one, other)
    return one == other
