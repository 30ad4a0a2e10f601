"""A folder of features that grows a video at a time: an array and a .json each."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.data.sources.array_files import read_attributes
from vmr_jax.extract.feature_file import refuse_others
from vmr_jax.extract.origin import is_origin
from vmr_jax.output_files import whole_path, write_whole
from vmr_jax.video.sources import FrameSource


class FeatureFolder:
    """Features (rows, width) float16 as ID.npz (features, times) or ID.npy, with ID.json.

    The .json holds what the attributes of an HDF5 file and of its datasets do. A video is complete
    where both are there, so that the same command goes on after any end.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any], suffix: str):
        """Open what is there. Raises ValueError where it was made with other settings."""
        self.out = Path(os.path.realpath(out))
        self._settings, self._suffix = dict(settings), suffix
        self._there: dict[str, dict[str, Any]] = {}
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"{out} is a file; --format {suffix} writes a folder")
        for draft in self.out.glob(".draft-*"):  # of a process that was killed
            draft.unlink()
        for path in sorted(self.out.glob("*.np[yz]")):
            found = read_attributes(path)
            refuse_others(path, found, settings)
            if path.suffix == f".{suffix}":
                self._there[path.stem] = found
            else:
                raise ValueError(
                    f"{path} is there: give --format {path.suffix[1:]}, or another --out"
                )

    def holds(self, video: FrameSource) -> bool:
        """Tell whether the features of a video are there, made from these very files."""
        return video.id in self._there and is_origin(self._there[video.id], video)

    def add(self, video: str, rows: np.ndarray, attributes: Mapping[str, Any]) -> None:
        """Store a video's rows (N, width) and its attributes, all or nothing."""
        path = self.out / f"{video}.{self._suffix}"
        self.out.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        found = self._settings | dict(attributes)
        write_whole(self.out / f"{video}.json", json.dumps(found, indent=1) + "\n")
        times = np.asarray(attributes["times"])
        with whole_path(path, rows.nbytes + times.nbytes) as draft, draft.open("wb") as file:
            if self._suffix == "npz":
                np.savez(file, features=rows, times=times)
            else:
                np.save(file, rows)
        self._there[video] = found

    def join(self) -> None:
        """Nothing is left to do: each video is in its place."""
