"""What is said in a video: utterances with their times, read from subtitle files."""

import codecs
import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vmr_jax.input_files import require_file

SUFFIXES = (".srt", ".vtt", ".ass", ".ssa")
_LANGUAGE = re.compile(r"(?<=.)\.([a-z]{2,3}([-_][a-z0-9]{2,8})*|forced|default|sdh|cc|hi)$", re.I)
_LARGEST = 64 * 2**20  # bytes
_TAG = re.compile(r"</?[a-zA-Z0-9][^<>]*>")  # also the times inside a line of VTT
_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Utterance(NamedTuple):
    """A line that is said, or written on the screen."""

    start_s: float  # seconds
    end_s: float  # seconds
    text: str  # one line without markup


class Read(NamedTuple):
    """What a source of utterances gave, and what it did not."""

    utterances: tuple[Utterance, ...]  # by their starts
    notes: tuple[str, ...] = ()  # a line each


def subtitle_files(folder: Path) -> dict[str, list[Path]]:
    """The subtitle files in a folder, by the names of the videos that they may belong to.

    film.srt, film.en.srt and film.en-GB.forced.srt belong to "film", those of one name in order.
    """
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            for name in _names(path.stem):
                found.setdefault(name, []).append(path)
    return found


def _names(stem: str) -> Iterator[str]:
    """A name, and what is left of it without the languages at its end."""
    yield stem
    while (shorter := _LANGUAGE.sub("", stem)) != stem:
        yield shorter
        stem = shorter


def read_subtitles(path: Path) -> Read:
    """Read a file of SRT, VTT, ASS or SSA, whatever of the three its content is.

    Tags and markup are taken out, comments and drawings left out. It is UTF-8, UTF-16 or, which
    a note says, Windows-1252, the common form of Latin-1.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: pysubs2 is missing; the file is too large, or none of subtitles.
    """
    pysubs2 = import_pysubs2()
    size = require_file(path, "subtitles").stat().st_size
    if size > _LARGEST:
        raise ValueError(f"{path} has {size:,} bytes; subtitles of more than {_LARGEST:,} are none")
    text, notes = _decode(path)
    try:
        kind = pysubs2.formats.autodetect_format(text[:10_000])
        events = pysubs2.SSAFile.from_string(text, kind) if f".{kind}" in SUFFIXES else None
    except Exception:  # damaged files raise many
        kind = events = None
    if kind is None or events is None:
        raise ValueError(
            f"{path} holds no subtitles that are read{f' ({kind})' if kind else ''}: they are SRT, "
            "VTT, ASS or SSA"
        )
    lines = [
        (event.start / 1000, event.end / 1000, _plain(event, kind))
        for event in events
        if event.is_text
    ]
    if not lines:
        raise ValueError(f"{path} holds no subtitles: not a line with its times")
    return ordered(lines, str(path), notes)


def ordered(
    lines: Iterable[tuple[float, float, str]], where: str, notes: Iterable[str] = ()
) -> Read:
    """Lines (start, end, text) by their starts; of those without a span of time a note tells."""
    lines = [line for line in lines if line[2]]
    kept = [Utterance(*line) for line in lines if 0 <= line[0] < line[1]]
    notes = list(notes)
    if lost := len(lines) - len(kept):
        notes.append(f"{where}: {lost} of {len(lines)} lines do not end after they start")
    return Read(tuple(sorted(kept)), tuple(notes))


def plain_text(event: Any) -> str:
    """The words of an event of pysubs2, without tags, entities and breaks."""
    return " ".join(html.unescape(_TAG.sub("", event.plaintext)).split())


def import_pysubs2() -> Any:
    """pysubs2, an extra. Raises ValueError where it is not installed."""
    try:
        import pysubs2
    except ImportError as error:
        raise ValueError(
            f"subtitles are read by pysubs2 ({error}); install it with: "
            "pip install 'vmr_jax[subtitles]'"
        ) from error
    return pysubs2


def _plain(event: Any, kind: str) -> str:
    if kind == "vtt":  # an empty line ends it; notes and names of lines come after
        event.text = event.text.partition(r"\N\N")[0]
    return plain_text(event)


def _decode(path: Path) -> tuple[str, list[str]]:
    """The text of a file, and a note where its encoding is a guess."""
    content = path.read_bytes()
    if content.startswith(_MARKS[1:]):
        encoding = "utf-16"
    elif content[1:2] == b"\0":
        encoding = "utf-16-le"
    elif content[:1] == b"\0":
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        return _one_newline(content.decode(encoding)), []
    except UnicodeDecodeError as error:
        if encoding != "utf-8-sig":
            raise ValueError(f"{path} is damaged: no whole UTF-16 ({error.reason})") from error
    told = f"{path} is no UTF-8; it was read as Windows-1252 (Latin-1)"
    return _one_newline(content.decode("cp1252", "replace")), [told]


def _one_newline(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")
