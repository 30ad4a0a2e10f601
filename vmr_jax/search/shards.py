"""The shards of an index: some videos with their vectors and codes, as arrays on disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.search.encoding import EncodedVideo
from vmr_jax.search.manifest import check_files, open_array, write_arrays
from vmr_jax.search.table import Clips, quantize

DTYPES = ("float16", "int8", "float32")


class Shard(NamedTuple):
    """The V videos of an open shard; vectors and codes are mapped from their files."""

    video_id: list[str]
    duration: np.ndarray  # (V,) float32 seconds
    clips: Clips
    codes: list[np.ndarray]  # (R, ...), the leaves of a localizer's code


class ShardDraft:
    """Encoded videos that wait to be written, in the types that they are stored in."""

    def __init__(self, modalities: Sequence[str], dtype: str):
        """An empty draft of an index of this dtype."""
        self._modalities, self._dtype = modalities, dtype
        self._ids: list[str] = []
        self._durations: list[float] = []
        self._counts: list[int] = []
        self._columns: dict[str, list[np.ndarray]] = {}
        self.clips = 0  # in all

    def add(self, video_id: str, duration: float, video: EncodedVideo) -> None:
        """Add a video. Raises ValueError where its code does not fit into float16."""
        self._ids.append(video_id)
        self._durations.append(duration)
        self._counts.append(len(video.vectors))
        self.clips += len(video.vectors)
        for index, name in enumerate(self._modalities):
            vectors = video.vectors[:, index]
            if self._dtype == "int8":
                vectors, scale = quantize(vectors)
                self._columns.setdefault(f"scale_{name}.npy", []).append(scale)
            else:
                vectors = vectors.astype(self._dtype)
            self._columns.setdefault(f"clips_{name}.npy", []).append(vectors)
        for index, code in enumerate(video.codes):
            stored = code if self._dtype == "float32" else code.astype(np.float16)
            if not np.isfinite(stored).all():
                raise ValueError(
                    f"the localizer's code of {video_id} does not fit into float16: use "
                    "--dtype float32"
                )
            self._columns.setdefault(_code_name(index), []).append(stored)

    def write(self, index: Path, number: int) -> dict:
        """Write the shard; returns its entry of the manifest."""
        files = {
            "video_id.npy": np.array(self._ids, np.str_),
            "duration.npy": np.array(self._durations, np.float32),
            "num_clips.npy": np.array(self._counts, np.int32),
        }
        files |= {name: np.concatenate(arrays) for name, arrays in self._columns.items()}
        entries = write_arrays(index, shard_folder(number), files)
        return {"videos": len(self._ids), "clips": self.clips, "removed": [], "files": entries}


def shard_folder(number: int) -> str:
    """The folder of a shard in its index."""
    return f"shards/{number:06d}"


def read_ids(index: Path, number: int) -> list[str]:
    """The ids of a shard's videos, of the removed ones too."""
    return open_array(index, shard_folder(number), "video_id.npy").tolist()


def open_shard(index: Path, number: int, entry: dict, modalities: Sequence[str]) -> Shard:
    """Open a shard whose files were checked. Raises DamagedIndexError."""
    folder = shard_folder(number)
    ids = read_ids(index, number)
    columns = lambda kind: tuple(  # noqa: E731
        open_array(index, folder, f"{kind}_{name}.npy") for name in modalities
    )
    scaled = f"scale_{modalities[0]}.npy" in entry["files"]
    removed = set(entry["removed"])
    clips = Clips(
        vectors=columns("clips"),
        num_clips=np.array(open_array(index, folder, "num_clips.npy")),
        scale=columns("scale") if scaled else (),
        kept=np.array([video not in removed for video in ids]),
    )
    codes = sum(name.startswith("code_") for name in entry["files"])
    return Shard(
        video_id=ids,
        duration=np.array(open_array(index, folder, "duration.npy")),
        clips=clips,
        codes=[open_array(index, folder, _code_name(leaf)) for leaf in range(codes)],
    )


def check_shard(index: Path, number: int, entry: dict, *, content: bool) -> None:
    """Raise DamagedIndexError unless a shard's files are whole; `content`: as they were written."""
    check_files(index, shard_folder(number), entry["files"], content=content)


def _code_name(leaf: int) -> str:
    return f"code_{leaf}.npy"
