"""The entries of a leaderboard: folders with a file of predictions or answers, and a card."""

import tomllib
from pathlib import Path
from typing import Any, NamedTuple

from vmr_jax.input_files import require_file

CARD = "card.toml"
FILES = {"predictions.jsonl": "windows", "answers.jsonl": "text"}  # name -> format
_TEXTS = ("name", "link", "command", "note")
_NUMBERS = ("fps", "bins")


class Entry(NamedTuple):
    """Whose predictions a folder holds, and how they are made."""

    name: str
    file: Path
    link: str = ""  # of the paper or the code
    command: str = ""  # that makes the file
    note: str = ""
    fps: float = 0  # what a plain number of an answer is, see `answers.grammar.read_answer`
    bins: float = 0

    @property
    def kind(self) -> str:
        """The format of the file, one of `evaluation.given.FORMATS`."""
        return FILES[self.file.name]


def read_entries(directory: str | Path) -> list[Entry]:
    """Read the folders of a directory that hold one of FILES, by name.

    Raises:
        FileNotFoundError: there is no such directory, or none of its folders holds predictions.
        ValueError: a folder holds two of FILES; a card is not in its format; two entries have one
            name.
    """
    directory = Path(directory)
    if not directory.is_dir():
        raise FileNotFoundError(f"no folder of a leaderboard at {directory}")
    entries: dict[str, Entry] = {}
    for folder in sorted(path for path in directory.iterdir() if path.is_dir()):
        files = [folder / name for name in FILES if (folder / name).exists()]
        if len(files) > 1:
            raise ValueError(f"{folder} holds {' and '.join(FILES)}: an entry has one of them")
        if files:
            entry = _entry(folder, require_file(files[0], "predictions"))
            if entry.name in entries:
                other = entries[entry.name].file.parent
                raise ValueError(f"{folder} and {other} are both called {entry.name!r}")
            entries[entry.name] = entry
    if not entries:
        raise FileNotFoundError(
            f"no folder in {directory} holds {' or '.join(FILES)}: each system has a folder of its "
            f"own, with such a file and a {CARD}"
        )
    return list(entries.values())


def _entry(folder: Path, file: Path) -> Entry:
    """An entry by its card; without one it has the folder's name."""
    path = folder / CARD
    card = _read_card(require_file(path, "cards")) if path.exists() else {}
    own: dict[str, Any] = {"name": folder.name, "file": file} | card
    return Entry(**own)


def _read_card(path: Path) -> dict[str, Any]:
    """The fields of a card, checked."""
    try:
        card = tomllib.loads(path.read_text("utf-8"))
    except ValueError as error:  # of TOML or of UTF-8
        raise ValueError(f"{path}: not valid TOML ({error})") from error
    for key, value in card.items():
        if key not in _TEXTS + _NUMBERS:
            known = ", ".join(_TEXTS + _NUMBERS)
            raise ValueError(f"{path}: a card has no {key!r}; it has {known}")
        kind = str if key in _TEXTS else int | float
        if not isinstance(value, kind) or isinstance(value, bool):
            raise ValueError(f"{path}: {key} must be a {'text' if kind is str else 'number'}")
    if card.get("link") and not card["link"].startswith(("https://", "http://")):
        raise ValueError(f"{path}: link {card['link']!r} does not begin with https://")
    return card
