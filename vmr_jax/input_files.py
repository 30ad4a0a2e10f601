"""Files that users give: only regular ones are opened, and none unpacks to far more than it is."""

import hashlib
import json
import os
import re
import stat
import zipfile
from pathlib import Path
from typing import Any

LIMIT = "VMR_MAX_UNPACKED"  # environment variable: bytes that may be unpacked at any ratio
_RATIO = 100  # of unpacked to packed bytes, beyond which a file is none of arrays
_SMALL = 64 * 2**20  # bytes that may be unpacked at any ratio

_NO_FILES = (
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_VIDEOS = (
    (re.compile(rb"....ftyp", re.S), "MP4 or MOV"),
    (re.compile(rb"....(moov|mdat|wide|free)", re.S), "MOV"),
    (re.compile(rb"\x1aE\xdf\xa3"), "WebM or MKV"),
    (re.compile(rb"RIFF....AVI ", re.S), "AVI"),
    (re.compile(rb"FLV\x01"), "FLV"),
    (re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11"), "WMV"),
    (re.compile(rb"\0\0\x01[\xb3\xba]"), "MPEG"),
    (re.compile(rb"G.{187}G", re.S), "MPEG-TS"),
)


def require_file(path: str | Path, what: str) -> Path:
    """The path of a regular file. Nothing is opened, so that a pipe cannot make its reader wait.

    Raises:
        FileNotFoundError: nothing is there; `what` says what was looked for.
        ValueError: it is a directory, a pipe, a socket or a device.
    """
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"no {what} at {path}") from None
    for test, kind in _NO_FILES:
        if test(mode):
            raise ValueError(f"{path} is {kind}; {what} are read from a regular file")
    return path


def digest(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path, advice: str, *keys: str) -> dict[str, Any]:
    """Read a JSON object that this program wrote, which has these keys.

    Raises FileNotFoundError, and ValueError with the path and `advice`, what to do, where it is
    damaged, or no regular file.
    """
    require_file(path, "JSON data")
    try:
        content = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged ({error}): {advice}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged (it holds no JSON object): {advice}")
    if missing := [key for key in keys if key not in content]:
        raise ValueError(f"{path} is damaged (it lacks {', '.join(missing)}): {advice}")
    return content


def check_unpacked(unpacked: int, packed: int, where: str | Path) -> None:
    """Raise ValueError for what would unpack to far more bytes than it takes in its file."""
    limit = os.environ.get(LIMIT, "")
    if unpacked > max(_SMALL, _RATIO * packed, int(limit) if limit.isdecimal() else 0):
        raise ValueError(
            f"{where} has {packed:,} bytes and would unpack to {unpacked:,}: more than {_RATIO} "
            f"times as many are refused, unless {LIMIT}={unpacked} allows so many"
        )


def check_archive(archive: zipfile.ZipFile, path: str | Path) -> None:
    """Raise ValueError for a zip archive that would unpack to far more bytes than it is."""
    unpacked = sum(entry.file_size for entry in archive.infolist())
    check_unpacked(unpacked, Path(path).stat().st_size, path)


def refuse_video(path: Path) -> None:
    """Raise ValueError for a file that begins as videos do."""
    with path.open("rb") as file:
        head = file.read(256)
    for start, kind in _VIDEOS:
        if start.match(head):
            raise ValueError(
                f"{path} is a video ({kind}); features are needed, a row for each clip: extract "
                "them first, with the extractor that your system's paper names"
            )
