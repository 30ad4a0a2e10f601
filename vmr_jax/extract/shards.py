"""An extraction split over machines: which videos are whose, and their files made one."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np

from vmr_jax.data.sources.hdf5 import naming, open_hdf5
from vmr_jax.extract.feature_file import LIBVER, differences, parts_folder
from vmr_jax.locks import locked
from vmr_jax.output_files import whole_path
from vmr_jax.video.sources import FrameSource


def of_shard(videos: Sequence[FrameSource], number: int, shard: int) -> tuple[FrameSource, ...]:
    """The videos of one of `number` shards, by a hash of their ids.

    A video is in the same shard whatever other videos there are. Raises ValueError for a shard
    that is not in 0 ... number - 1.
    """
    if not 0 <= shard < number:
        raise ValueError(f"--shard {shard} is not in 0 ... {number - 1} of --num-shards {number}")
    return tuple(video for video in videos if _place(video.id) % number == shard)


def _place(video: str) -> int:
    return int.from_bytes(hashlib.sha256(video.encode()).digest()[:8])


def merge(paths: Sequence[Path], out: Path) -> int:
    """Make one file of those of several shards; give the number of its videos.

    A video may be in several, if it is the same in all.

    Raises:
        ValueError: a file is not made by `vmr extract`, with other settings than the first, or not
            finished; two have different features of one video; `out` is there and not among them.
        FullDiskError: there is no space for the file.
    """
    if out.exists() and not any(path.exists() and path.samefile(out) for path in paths):
        raise ValueError(f"{out} is there: give another --out, or name it to merge it too")
    settings, owners = {}, {}
    for path in paths:
        if parts_folder(path).exists():
            raise ValueError(f"{path} is not finished: run its command again ({path}.parts)")
        with open_hdf5(path, "features") as file, naming(str(path)):
            found, names = dict(file.attrs), list(map(str, file))
        settings = settings or found
        _refuse_others(paths[0], settings, path, found)
        for name in names:
            other = owners.setdefault(name, path)
            if other != path and not _alike(other, path, name):
                raise ValueError(
                    f"{other} and {path} have different features of {name!r}: remove one of them, "
                    "and extract that video again"
                )
    size = sum(path.stat().st_size for path in paths)
    with (
        locked(parts_folder(out)),
        whole_path(out, size) as draft,
        h5py.File(draft, "w", libver=LIBVER) as joined,
    ):
        joined.attrs.update(settings)
        for path in dict.fromkeys(owners.values()):
            with open_hdf5(path, "features") as file:
                for name in (n for n, owner in owners.items() if owner == path):
                    file.copy(name, joined)
    return len(owners)


def _refuse_others(
    first: Path, settings: Mapping[str, Any], path: Path, found: Mapping[str, Any]
) -> None:
    """Refuse a file that was not made as the first one."""
    if "encoder" not in found:
        raise ValueError(f"{path} was not made by `vmr extract`")
    if told := differences(settings, found, f"in {first.name}", f"in {path.name}"):
        raise ValueError(f"{first} and {path} were made with other settings ({told})")


def _alike(path: Path, other: Path, name: str) -> bool:
    """Tell whether two files hold the same rows of a video, of the same source."""
    with open_hdf5(path, "features") as file, open_hdf5(other, "features") as second:
        one, two = cast(h5py.Dataset, file[name]), cast(h5py.Dataset, second[name])
        same = one.attrs.get("source_sha256") == two.attrs.get("source_sha256")
        return same and np.array_equal(one[()], two[()])
