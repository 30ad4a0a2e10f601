"""What is said in the videos of an index: subtitles given, beside them or in them, or speech."""

from collections.abc import Collection, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from vmr_jax.data.sources.names import stem
from vmr_jax.progress import shown
from vmr_jax.speech.store import Entry, read_entries, update_speech
from vmr_jax.speech.transcribe import open_speech_model
from vmr_jax.speech.utterances import import_pysubs2, subtitle_files
from vmr_jax.video.sources import FrameSource
from vmr_jax.zero_shot.joint_space import JointSpace


def read_what_is_said(
    index: Path,
    videos: Sequence[FrameSource],
    kept: Collection[str],
    space: JointSpace,
    subtitles: Path | None,
    speech: str,
    heard_by: Any,
) -> tuple[dict[str, Entry], list[str]]:
    """Read what is said in the videos of a run, and keep it of all that are `kept`.

    A video's subtitle files are those in the folder `subtitles`, else those beside it, else the
    text in it; where there is none, it is heard by the model `speech`, if one is named, which
    `open_sources` opened. Returns what the index has of each video, and what could not be read, a
    line each.

    Raises FullDiskError where there is no space, and ValueError where something that was asked for
    needs an extra.
    """
    files = _files_of(videos, subtitles)
    try:
        import_pysubs2()
    except ValueError as error:
        if subtitles or speech:
            raise
        left = sum(map(bool, files.values()))
        told = [f"the subtitle files of {left:,} videos are left out: {error}"] if left else []
        return read_entries(index), told
    entries = update_speech(
        index,
        {video.id: video.path for video in videos},
        files,
        list(kept),
        space.sentences if space.any_words else None,
        speech_model=speech,
        heard_by=heard_by,
        progress=shown,
    )
    return entries, [note for entry in entries.values() for note in entry.notes]


def open_sources(subtitles: Path | None, speech: str) -> Any:
    """Open the speech model, if one is named, and find what is missing before hours of encoding.

    Raises ValueError where an extra or the model is missing, FileNotFoundError without the folder.
    """
    if subtitles and not subtitles.is_dir():
        raise FileNotFoundError(f"no folder of subtitle files at {subtitles}")
    if subtitles or speech:
        import_pysubs2()
    return open_speech_model(speech) if speech else None


def _files_of(videos: Sequence[FrameSource], subtitles: Path | None) -> dict[str, list[Path]]:
    """The subtitle files of each video."""
    listed = cache(subtitle_files)
    found = {}
    for video in videos:
        name = stem(video.path.name)
        given = listed(subtitles).get(name, []) if subtitles else []
        found[video.id] = given or listed(video.path.parent).get(name, [])
    return found
