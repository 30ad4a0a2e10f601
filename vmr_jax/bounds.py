"""Limits on what is read: sizes are taken from headers, before anything is allocated."""

import stat
import zipfile
from pathlib import Path

_RATIO = 100  # of unpacked to packed bytes, beyond which an archive is no archive of arrays
_SMALL = 64 * 2**20  # bytes that may be unpacked at any ratio


def check_regular(path: str | Path) -> None:
    """Raise ValueError for what is no regular file: a pipe or a device would never end."""
    mode = Path(path).stat().st_mode
    if not stat.S_ISREG(mode):
        raise ValueError(f"{path} is no regular file")


def check_unpacked_size(archive: zipfile.ZipFile, path: str | Path) -> None:
    """Raise ValueError for an archive that would unpack to far more than it is."""
    unpacked = sum(entry.file_size for entry in archive.infolist())
    packed = Path(path).stat().st_size
    if unpacked > max(_SMALL, _RATIO * packed):
        raise ValueError(
            f"{path} has {packed:,} bytes and would unpack to {unpacked:,}: more than "
            f"{_RATIO} times as many are refused"
        )
