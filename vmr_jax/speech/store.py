"""What is said in the videos of an index, on the disk.

    said.json    the utterances of each video, what they were read from, and the file of vectors
    said-*.npy   (U, width) float16, a row for each utterance, of length 1

said.json names a file of vectors that is whole, and takes the place of the one before at once.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vmr_jax.input_files import digest, read_json
from vmr_jax.output_files import whole_path, write_whole
from vmr_jax.progress import Progress, quiet
from vmr_jax.speech.said import marks, read_said
from vmr_jax.speech.utterances import Utterance
from vmr_jax.speech.words import Spoken, utterance_vectors

FILE = "said.json"
_ADVICE = "delete it, and the same `vmr index` command makes it anew"
_SAVE_EVERY = 60.0  # seconds


class Entry(NamedTuple):
    """What is said in one video."""

    marks: str
    notes: tuple[str, ...]
    lines: tuple[Utterance, ...]
    vectors: np.ndarray  # (U, width) float16


def update_speech(
    index: Path,
    videos: Mapping[str, Path],
    files: Mapping[str, Sequence[Path]],
    kept: Sequence[str],
    encode: Callable[[Sequence[str]], np.ndarray] | None,
    *,
    speech_model: str = "",
    heard_by: Any = None,
    progress: Progress = quiet,
) -> dict[str, Entry]:
    """Read what is said in videos that are new or changed, keep it of those in `kept`, and no more.

    `videos` are those of this run with their paths, `files` their subtitle files, `encode` makes
    vectors (S, width) of sentences in any words, if there is such an encoder, `heard_by` is the
    opened `speech_model`. Returns all entries.

    Raises FullDiskError where there is no space, and ValueError where an extra is missing.
    """
    before = read_entries(index)
    entries = {name: entry for name, entry in before.items() if name in kept}
    changed, saved = len(entries) < len(before), time.monotonic()
    wanted = {name: path for name, path in videos.items() if name in kept}
    for name, path in progress(wanted.items(), "what is said", len(wanted)):
        sources = files.get(name, ())
        try:
            now = marks(path, sources, speech_model)
        except OSError:  # it vanished
            continue
        if name in entries and entries[name].marks == now:
            continue
        read = read_said(path, sources, heard_by)
        vectors = utterance_vectors(read.utterances, encode).astype(np.float16)
        entries[name], changed = Entry(now, read.notes, read.utterances, vectors), True
        if time.monotonic() - saved > _SAVE_EVERY:
            _write(index, entries)
            saved = time.monotonic()
    if changed:
        _write(index, entries)
    return entries


def open_speech(index: Path) -> Spoken | None:
    """The utterances of an index, open for search; None where nothing is said.

    Raises ValueError where its files are damaged.
    """
    entries = {name: entry for name, entry in sorted(read_entries(index).items()) if entry.lines}
    if not entries:
        return None
    vectors = np.concatenate([entry.vectors for entry in entries.values()])
    return Spoken({name: entry.lines for name, entry in entries.items()}, vectors)


def read_entries(index: Path) -> dict[str, Entry]:
    """What is stored, none where there is no file. Raises ValueError where it is damaged."""
    path = index / FILE
    if not path.exists():
        return {}
    content = read_json(path, _ADVICE, "videos", "vectors")
    try:
        rows = np.load(index / content["vectors"], mmap_mode="r", allow_pickle=False)
        entries, at = {}, 0
        for name, entry in content["videos"].items():
            lines = tuple(Utterance(*line) for line in entry["lines"])
            vectors = rows[at : at + len(lines)]
            entries[name] = Entry(entry["marks"], tuple(entry["notes"]), lines, vectors)
            at += len(lines)
        if at != len(rows):
            raise ValueError(f"{at} utterances, {len(rows)} vectors")
    except (KeyError, TypeError, AttributeError, ValueError, OSError, EOFError) as error:
        raise ValueError(f"{path} is damaged ({error}): {_ADVICE}") from error
    return entries


def _write(index: Path, entries: Mapping[str, Entry]) -> None:
    """Write the vectors, then the file that names them; older vectors are removed."""
    ordered = dict(sorted(entries.items()))
    parts = [entry.vectors for entry in ordered.values() if len(entry.vectors)]
    rows = np.concatenate(parts) if parts else np.empty((0, 0), np.float16)
    draft = index / "said.npy"
    with whole_path(draft, rows.nbytes) as path:
        np.save(path, rows)
    named = f"said-{digest(draft)[:16]}.npy"
    draft.replace(index / named)
    stored = {
        name: {"marks": entry.marks, "notes": entry.notes, "lines": entry.lines}
        for name, entry in ordered.items()
    }
    text = json.dumps({"vectors": named, "videos": stored}, ensure_ascii=False)
    write_whole(index / FILE, text + "\n")
    for old in index.glob("said-*.npy"):
        if old.name != named:
            old.unlink()
