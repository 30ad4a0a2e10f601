"""Tell by the files' sizes and times alone that a command would prepare what is there already.

    DATA_DIR/<dataset>/prepared-<feature>.json

holds a digest of the version of vmr_jax, of the options and of size, time of the last change of the
content (mtime) and of the file (ctime), and inode of every file that was read and of every file
that was written, and the names of the files that HDF5 files refer to. Whatever differs is read and
compared as a whole. A file of the same size that was changed within the tick of the file system's
clock (a few milliseconds) in which it was read would not be seen.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from vmr_jax.output_files import write_whole

_SOURCES = ("annotations_dir", "features", "glove", "query_features", "query_encoder")
_PARTS = ("moments", "videos-{feature_name}", "queries-{query_feature_name}", "chunks")


def state_of_sources(options: Mapping[str, Any]) -> str:
    """A digest of the options of `prepare_dataset` and of the files that they name, as they are."""
    sources = []
    for given in map(options.__getitem__, _SOURCES):
        sources += given if isinstance(given, list) else [given] if given else []
    told = json.dumps([version("vmr_jax"), options], default=os.path.abspath)
    return _digest(told, _files(sources))


def is_unchanged(options: Mapping[str, Any]) -> bool:
    """Whether `keep_state` was called with these options, and every file is as it was then."""
    path = _path(options)
    try:
        kept = json.loads(path.read_text("utf-8"))
        return kept == _state(options, state_of_sources(options), kept["linked"])
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return False


def keep_state(options: Mapping[str, Any], sources: str, linked: Iterable[Path]) -> None:
    """Keep, beside what was written, how all files were.

    `sources` is their state before they were read; `linked` are the files that they refer to.
    """
    state = _state(options, sources, sorted(map(os.path.abspath, linked)))
    write_whole(_path(options), json.dumps(state, indent=1) + "\n")


def _path(options: Mapping[str, Any]) -> Path:
    return options["data_dir"] / options["name"] / f"prepared-{options['feature_name']}.json"


def _state(options: Mapping[str, Any], sources: str, linked: Sequence[str]) -> dict[str, Any]:
    written = (_path(options).with_name(part.format(**options)) for part in _PARTS)
    others = _digest("", _files([*map(Path, linked), *written]))
    return {"sources": sources, "linked": linked, "linked_and_written": others}


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files, those in the directories, and what `vmr extract` says of a file beside it."""
    for path in paths:
        if path.is_dir():
            found = (Path(entry.path) for entry in os.scandir(path) if entry.is_file())
            yield from sorted(found)
        else:
            yield path
            yield path.with_name(f"{path.stem}.json")


def _digest(told: str, files: Iterable[Path]) -> str:
    """The SHA-256 of a text and of what the file system says of files."""
    digest = hashlib.sha256(told.encode())
    for file in files:
        try:
            found = file.stat()
        except OSError:
            state = None
        else:
            state = (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        digest.update(f"{os.path.abspath(file)}\0{state}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()
