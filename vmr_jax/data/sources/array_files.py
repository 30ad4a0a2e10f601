"""Arrays in .npy and .npz files: their sizes are checked before anything is allocated."""

import json
import math
import os
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from vmr_jax.input_files import check_unpacked, refuse_video, require_file

SUFFIXES = (".npy", ".npz")
_ZIP = b"PK"


def load_array(path: Path, key: str = "") -> np.ndarray:
    """Load the array of a .npy file; of an .npz that under `key`, under "features", or its only.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no regular file, damaged, not of numbers, or promises more than it holds.
    """
    require_file(path, "features")
    try:
        with path.open("rb") as file:
            packed = file.read(2) == _ZIP
            file.seek(0)
            if packed:
                return _read_member(file, path, key)
            return _read_array(file, os.fstat(file.fileno()).st_size)
    except Exception as error:  # numpy and zipfile raise many kinds on a damaged file
        refuse_video(path)
        raise ValueError(f"{path}: cannot be read ({error or type(error).__name__})") from error


def read_attributes(path: Path) -> dict[str, Any]:
    """What `vmr extract` says of a file of features, in the .json beside it; {} without one.

    A .json of something else says nothing. Raises ValueError for one that is damaged.
    """
    beside = path.with_name(f"{path.stem}.json")
    if not beside.is_file():
        return {}
    try:
        content = json.loads(beside.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{beside} is damaged ({error}): extract the video again") from error
    return content if isinstance(content, dict) and "encoder" in content else {}


def array_size(path: Path) -> int:
    """The numbers in a .npy file, as its header promises them; 0 where it does not tell."""
    if path.suffix.lower() != ".npy":
        return 0
    with require_file(path, "features").open("rb") as file:
        try:
            return math.prod(_check_header(file, os.fstat(file.fileno()).st_size))
        except ValueError:
            return 0


def _read_member(file: IO[bytes], path: Path, key: str) -> np.ndarray:
    """Read one array of an .npz."""
    with zipfile.ZipFile(file) as archive:
        keys = [name.removesuffix(".npy") for name in archive.namelist()]
        wanted = key or ("features" if "features" in keys or len(keys) != 1 else keys[0])
        if wanted not in keys:
            expected = f"the key {key!r}" if key else 'one array, or the key "features"'
            raise ValueError(f"it holds {keys}; expected {expected}" + "; see --key" * (not key))
        entry = archive.infolist()[keys.index(wanted)]
        packed = min(entry.compress_size, path.stat().st_size)
        check_unpacked(entry.file_size, packed, f"its {wanted!r}")
        with archive.open(entry) as member:
            return _read_array(member, entry.file_size)


def _read_array(file: IO[bytes], size: int) -> np.ndarray:
    """Read a .npy of so many bytes from its start, unless its header promises more."""
    _check_header(file, size)
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)


def _check_header(file: IO[bytes], size: int) -> tuple[int, ...]:
    """The shape that the header of a .npy promises. Raises ValueError where that is not there."""
    version = np.lib.format.read_magic(file)
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read_header is None:
        raise ValueError(f"version {version} of .npy holds no plain numbers")
    shape, _, dtype = read_header(file)
    if dtype.hasobject:
        raise ValueError("it is a pickle of Python objects, which is never loaded")
    promised, there = math.prod(shape) * dtype.itemsize, size - file.tell()
    if promised > there or min(shape, default=0) < 0:
        raise ValueError(
            f"its header promises {promised:,} bytes of shape {shape}, it holds {there:,}; is it "
            "complete?"
        )
    return shape
