"""All that is said in a video: by its subtitle files, else the streams in it, else its speech."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from vmr_jax.input_files import digest
from vmr_jax.speech.embedded import read_embedded
from vmr_jax.speech.transcribe import transcribe
from vmr_jax.speech.utterances import Read, Utterance, read_subtitles


def read_said(video: Path, files: Sequence[Path], speech_model: Any = None) -> Read:
    """Read the utterances of a video; the notes say what could not be read.

    All its subtitle `files` are read; without any, the text streams in it; and where neither says
    anything, it is heard by a model of `open_speech_model`, if one is given. Raises ValueError
    where an extra is missing that is needed for it.
    """
    found: list[Utterance] = []
    notes: list[str] = []
    for source in files or [video]:
        read = _try(read_subtitles if files else read_embedded, source)
        found += read.utterances
        notes += read.notes
    if not found and speech_model:
        read = _try(lambda path: transcribe(path, speech_model), video)
        found += read.utterances
        notes += read.notes
    return Read(tuple(dict.fromkeys(found)), tuple(notes))


def marks(video: Path, files: Sequence[Path], speech_model: str) -> str:
    """What tells the sources of a video's utterances from changed ones.

    Its subtitle files count by their content, the video by its size and time of change. Raises
    OSError where one is gone.
    """
    if files:
        return " ".join(f"{path.name}:{digest(path)}" for path in files)
    stat = video.stat()
    return f"{stat.st_size}:{stat.st_mtime_ns}:{speech_model}"


def _try(read: Any, path: Path) -> Read:
    """What a source gives; one that cannot be read is a note."""
    try:
        return read(path)
    except (ValueError, OSError) as error:
        return Read((), (" ".join(str(error).split()),))
