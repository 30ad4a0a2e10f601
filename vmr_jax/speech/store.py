"""What is said in the videos of an index, on the disk.

    said.json   the utterances of each video, what they were read from, and the folder of the rest
    said-*/     vectors.npy, (U, width) float16, a row for each utterance, of length 1; words/, the
                index of their words as bm25s saves it

said.json names a folder that is whole, and takes the place of the one before at once.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vmr_jax.input_files import read_json
from vmr_jax.output_files import needing_space, write_whole
from vmr_jax.progress import Progress, quiet
from vmr_jax.speech.said import marks, read_said
from vmr_jax.speech.utterances import Utterance
from vmr_jax.speech.words import Spoken, index_words, load_words, utterance_vectors

FILE = "said.json"
_VECTORS, _WORDS = "vectors.npy", "words"
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

    Raises ValueError where its files are damaged, or bm25s is not installed.
    """
    entries, folder = _read(index)
    lines = {name: entry.lines for name, entry in entries.items()}
    if not any(lines.values()):
        return None
    vectors = np.concatenate([entry.vectors for entry in entries.values() if entry.lines])
    with _damage(index):
        words = load_words(folder / _WORDS)
    return Spoken(lines, vectors, words)


def read_entries(index: Path) -> dict[str, Entry]:
    """What is stored, by the videos' ids; none where there is no file.

    Raises ValueError where it is damaged.
    """
    return _read(index)[0]


def _read(index: Path) -> tuple[dict[str, Entry], Path]:
    """What is stored, and the folder of the vectors and words."""
    if not (index / FILE).exists():
        return {}, index
    with _damage(index):
        content = read_json(index / FILE, _ADVICE, "videos", "folder")
        folder = index / Path(content["folder"]).name
        rows = np.load(folder / _VECTORS, mmap_mode="r", allow_pickle=False)
        entries, at = {}, 0
        for name, entry in content["videos"].items():
            lines = tuple(Utterance(*line) for line in entry["lines"])
            vectors = rows[at : at + len(lines)]
            entries[name] = Entry(entry["marks"], tuple(entry["notes"]), lines, vectors)
            at += len(lines)
        if at != len(rows):
            raise ValueError(f"{at} utterances, {len(rows)} vectors")
    return entries, folder


@contextmanager
def _damage(index: Path) -> Iterator[None]:
    """Turn what damaged files raise into a ValueError that says what to do."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, OSError, EOFError) as error:
        told = str(error)
        if _ADVICE in told or "pip install" in told:
            raise
        raise ValueError(f"{index / FILE} is damaged ({error}): {_ADVICE}") from error


def _write(index: Path, entries: Mapping[str, Entry]) -> None:
    """Write the folder, then the file that names it; older ones are removed."""
    ordered = dict(sorted(entries.items()))
    stored = {
        name: {"marks": entry.marks, "notes": entry.notes, "lines": entry.lines}
        for name, entry in ordered.items()
    }
    text = json.dumps(stored, ensure_ascii=False)
    named = f"said-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not (index / named).exists():
        _write_folder(index, named, list(ordered.values()))
    write_whole(index / FILE, f'{{"folder": "{named}", "videos": {text}}}\n')
    for old in index.glob("said-*"):
        if old.name != named:
            shutil.rmtree(old)


def _write_folder(index: Path, named: str, entries: Sequence[Entry]) -> None:
    parts = [entry.vectors for entry in entries if entry.lines]
    rows = np.concatenate(parts) if parts else np.empty((0, 0), np.float16)
    draft = index / "said-draft"
    shutil.rmtree(draft, ignore_errors=True)
    with needing_space(draft, rows.nbytes):
        draft.mkdir()
        np.save(draft / _VECTORS, rows)
        if words := index_words(line for entry in entries for line in entry.lines):
            words.save(draft / _WORDS)
        draft.rename(index / named)
