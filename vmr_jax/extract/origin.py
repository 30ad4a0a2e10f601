"""What features were made from, so that a changed file is told from the same one."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vmr_jax.video.sources import FrameSource

_PIECE = 2**20  # bytes read at once


class Origin(NamedTuple):
    """A video's files, as the attributes of its features name them."""

    source: str  # the name of the file, or of the folder
    source_bytes: int
    source_mtime_ns: int  # the latest
    source_sha256: str  # of a folder: of its images one after the other


def origin_of(video: FrameSource) -> Origin:
    """Tell what a video's files are; all of them are read."""
    return Origin(video.path.name, *_marks(video.files()), _digest(video.files()))


def is_origin(attributes: Mapping[str, Any], video: FrameSource) -> bool:
    """Tell whether features with these attributes were made from a video's very files.

    They are the same by size and time of change, or by size and SHA-256.
    """
    try:
        size, changed = _marks(video.files())
        if attributes.get("source_bytes") != size:
            return False
        same_time = attributes.get("source_mtime_ns") == changed
        return same_time or attributes.get("source_sha256") == _digest(video.files())
    except (OSError, ValueError):  # what reads the video says why
        return False


def bytes_of(video: FrameSource) -> int:
    """A video's size, 0 where it cannot be told."""
    try:
        return _marks(video.files())[0]
    except (OSError, ValueError):  # what reads the video says why
        return 0


def _marks(files: tuple[Path, ...]) -> tuple[int, int]:
    """Bytes, and the latest time of change in nanoseconds."""
    stats = [path.stat() for path in files]
    return sum(stat.st_size for stat in stats), max(stat.st_mtime_ns for stat in stats)


def _digest(files: tuple[Path, ...]) -> str:
    """The SHA-256 of files one after the other."""
    digest = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()
