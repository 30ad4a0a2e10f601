"""What an index on disk holds, told by its manifest, and its shards, written and checked.

    INDEX/manifest.json          what it was made by, its shards, their files' sizes and checksums
    INDEX/words/                 vocabulary.txt, vectors.npy, where queries are word vectors
    INDEX/shards/000000/         video_id.npy (V,), duration.npy (V,), num_clips.npy (V,),
                                 clips_image.npy, clips_sub.npy (R, D), scale_*.npy (R,) of int8,
                                 code_0.npy, ... (R, ...) of a localizer

Arrays are plain .npy, the R clips of a shard's V videos one after the other. A shard and the
manifest are written aside, synced and put in place by a rename: what the manifest names is whole.
"""

import json
import os
import shutil
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vmr_jax.output_files import needing_space, sync, write_whole

FORMAT = 1
_NAME = "manifest.json"
_CHECKSUM = "crc32"  # of the rest of the manifest
_KEYS = {
    "format",
    "retriever",
    "localizer",
    "modalities",
    "width",
    "dtype",
    "clip_seconds",
    "words",
    "building",
    "shards",
}


class DamagedIndexError(ValueError):
    """A file of an index is not as it was written."""


def read_manifest(index: Path) -> dict:
    """The manifest of an index, as `find_manifest`; FileNotFoundError where there is none."""
    manifest = find_manifest(index)
    if manifest is None:
        raise FileNotFoundError(f"{index}: no index there; make one with `vmr index`")
    return manifest


def find_manifest(index: Path) -> dict | None:
    """The manifest of an index; None where there is none.

    Raises:
        DamagedIndexError: it cannot be read.
        ValueError: it was written by another version of this program.
    """
    path = index / _NAME
    if not path.is_file():
        return None
    try:
        manifest = json.loads(path.read_text("utf-8"))
        missing = _KEYS - manifest.keys()
        noted = manifest.pop(_CHECKSUM, None)  # None: written before there was one
    except (ValueError, AttributeError, RecursionError) as error:
        raise DamagedIndexError(f"{path} is damaged ({error}): {_AGAIN}") from error
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"{path} has format {manifest.get('format')}, this program reads {FORMAT}: {_AGAIN}"
        )
    if missing:
        raise DamagedIndexError(f"{path} lacks {', '.join(sorted(missing))}: {_AGAIN}")
    if noted not in (None, _checksum_of(manifest)):
        raise DamagedIndexError(f"{path} does not have the content it was written with: {_AGAIN}")
    return manifest


def write_manifest(index: Path, manifest: Mapping) -> None:
    """Put a new manifest in the place of the old one."""
    content = {**manifest, _CHECKSUM: _checksum_of(manifest)}
    write_whole(index / _NAME, json.dumps(content, indent=1) + "\n")


def write_arrays(index: Path, folder: str, files: Mapping[str, np.ndarray | str]) -> dict:
    """Write arrays (.npy) and texts as the files of a folder; returns what `check_files` needs.

    A folder of that name, which no manifest knows, is replaced. Raises FullDiskError.
    """
    target = index / folder
    draft = target.with_name(f"{target.name}.draft")
    for old in (draft, target):
        if old.exists():
            shutil.rmtree(old)
    size = sum(len(x) if isinstance(x, str) else x.nbytes for x in files.values())
    with needing_space(target, size):
        try:
            draft.mkdir(parents=True)
            entries = {name: _write(draft / name, content) for name, content in files.items()}
            sync(draft)
            os.replace(draft, target)
            sync(target.parent)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return entries


def _write(path: Path, content: np.ndarray | str) -> dict:
    """Write a file of a folder; returns its entry."""
    if isinstance(content, str):
        path.write_text(content, "utf-8")
    else:
        np.save(path, content, allow_pickle=False)
    sync(path)
    return {"bytes": path.stat().st_size, "crc32": _checksum(path)}


def check_files(index: Path, folder: str, entries: Mapping, *, content: bool) -> None:
    """Raise DamagedIndexError unless the files have the size, and with `content` the checksum."""
    for name, entry in entries.items():
        path = index / folder / name
        if not path.is_file():
            raise DamagedIndexError(f"{path} is missing: {_AGAIN}")
        size = path.stat().st_size
        if size != entry["bytes"]:
            raise DamagedIndexError(f"{path} has {size} bytes, not {entry['bytes']}: {_AGAIN}")
        if content and _checksum(path) != entry["crc32"]:
            raise DamagedIndexError(
                f"{path} does not have the content it was written with: {_AGAIN}"
            )


def open_array(index: Path, folder: str, name: str, *, mapped: bool = True) -> np.ndarray:
    """An array of a folder, mapped from its file or read. Raises DamagedIndexError."""
    path = index / folder / name
    try:
        return np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DamagedIndexError(f"{path} cannot be read ({error}): {_AGAIN}") from error


def read_text(index: Path, folder: str, name: str) -> str:
    """A text file of a folder. Raises DamagedIndexError."""
    path = index / folder / name
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise DamagedIndexError(f"{path} cannot be read ({error}): {_AGAIN}") from error


_AGAIN = "copy the index again from where it was made, or make it again with `vmr index`"


def _checksum_of(manifest: Mapping) -> int:
    return zlib.crc32(json.dumps(manifest, sort_keys=True).encode())


def _checksum(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while block := file.read(1 << 22):
            value = zlib.crc32(block, value)
    return value
