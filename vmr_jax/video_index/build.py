"""What `vmr index VIDEOS` does: the index follows the videos that are there."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import h5py

from vmr_jax.extract.extract import Report, extract
from vmr_jax.extract.feature_file import LIBVER
from vmr_jax.locks import locked
from vmr_jax.output_files import whole_path
from vmr_jax.speech.store import Entry
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import FrameSource
from vmr_jax.video_index.layout import (
    FRAMES,
    MANIFEST,
    IndexedVideo,
    open_layout,
    read_manifest,
    unit_rows,
    write_layout,
)
from vmr_jax.video_index.running import telling
from vmr_jax.video_index.speech import open_sources, read_what_is_said
from vmr_jax.zero_shot.joint_space import JointSpace


class Indexed(NamedTuple):
    """What a run of `vmr index` did."""

    report: Report
    videos: Sequence[IndexedVideo]
    missing: tuple[str, ...]  # of the index, whose files are gone
    pruned: tuple[str, ...]
    said: dict[str, Entry]  # what is said in its videos
    unread: list[str]  # what of that could not be read, a line each


def build_index(
    index: Path,
    videos: Sequence[FrameSource],
    space: JointSpace,
    *,
    weights: str = "",
    clip_seconds: float = 2.0,
    prune: bool = False,
    strict: bool = False,
    jobs: int = 1,
    batch_size: int = 32,
    subtitles: Path | None = None,
    speech: str = "",
) -> Indexed:
    """Add the videos that an index lacks, encode anew those whose files changed, keep all others.

    A frame each `clip_seconds` is encoded. With `prune` the videos whose files are gone are taken
    out. The same call goes on after any end, and the result is the same index. `weights` is what
    `space` was opened with, kept for the search. What is said is read as by `read_what_is_said`.

    Raises:
        ValueError: the index was made by another encoder, other weights or other `clip_seconds`;
            another process writes it; with `strict`, a video cannot be read; and as `extract`.
        FullDiskError: there is no space.
    """
    if not clip_seconds > 0:
        raise ValueError(f"clip_seconds is {clip_seconds:g}; expected a positive number")
    heard_by = open_sources(subtitles, speech)
    with locked(index), telling(index) as tell:
        for draft in index.glob(".draft-*"):  # of a run that was killed
            draft.unlink(missing_ok=True)
        before = _paths_before(index)
        report = extract(
            videos,
            space.images,
            Sampling(clip_seconds=clip_seconds),
            index / FRAMES,
            batch_size=batch_size,
            jobs=jobs,
            strict=strict,
            tell=tell,
        )
        now = {video.id: video.path.resolve() for video in videos}
        paths = {name: path for name, path in before.items() if path not in now.values()} | now
        missing = tuple(sorted(name for name, path in paths.items() if not path.exists()))
        if prune:
            paths = {name: path for name, path in paths.items() if name not in missing}
            _drop(index / FRAMES, missing)
        for failure in report.failures:  # of a file that was good once, the old rows would lie
            paths.pop(failure.id, None)
        if report.added or paths != before:
            generic = unit_rows(space.sentences(space.generic))
            settings = space.images.name, weights, space.images.weights, clip_seconds
            write_layout(index, settings, paths, generic)
        listed = open_layout(index).videos if (index / MANIFEST).exists() else ()
        kept = {video.id for video in listed}
        said, unread = read_what_is_said(index, videos, kept, space, subtitles, speech, heard_by)
    gone = ((), missing) if prune else (missing, ())
    return Indexed(report, listed, *gone, said, unread)


def _paths_before(index: Path) -> dict[str, Path]:
    """The videos that an index has, with their files."""
    path = index / MANIFEST
    if not path.exists():
        return {}
    return {video["id"]: Path(video["path"]) for video in read_manifest(path)["videos"]}


def _drop(frames: Path, names: Sequence[str]) -> None:
    """Take videos out of a file of frames."""
    if not names or not frames.exists():
        return
    with (
        whole_path(frames, frames.stat().st_size) as draft,
        h5py.File(frames) as old,
        h5py.File(draft, "w", libver=LIBVER) as new,
    ):
        new.attrs.update(old.attrs)
        for name in old:
            if name not in names:
                old.copy(name, new)
