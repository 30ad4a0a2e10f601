"""Arrays in HDF5 files; what HDF5 itself would fill up with zeros without a word is an error."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vmr_jax.input_files import check_unpacked, refuse_video, require_file

_DEEPEST = 8  # virtual datasets of virtual datasets
_LINKED: ContextVar[set[Path]] = ContextVar("linked files")  # that `linked_files` notes


class UnreadableError(ValueError):
    """A file that is not read, with its path and what is wrong with it."""


@contextmanager
def naming(where: str) -> Iterator[None]:
    """Say of any error, of the many kinds that h5py raises on a damaged file, where it was."""
    try:
        yield
    except (UnreadableError, FileNotFoundError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableError(f"{where}: cannot be read ({reason})") from error


@contextmanager
def linked_files() -> Iterator[set[Path]]:
    """Yield the set of the other files that files read in this block turn out to need."""
    found: set[Path] = set()
    token = _LINKED.set(found)
    try:
        yield found
    finally:
        _LINKED.reset(token)


def open_hdf5(path: Path, what: str) -> h5py.File:
    """Open a file. Raises FileNotFoundError, and ValueError for what is no HDF5 file."""
    require_file(path, what)
    try:
        return h5py.File(path, "r")
    except OSError as error:
        refuse_video(path)
        raise UnreadableError(
            f"{path} cannot be read as HDF5; is it complete? ({error})"
        ) from error


def key_of_groups(file: h5py.File) -> str:
    """The dataset in the first group of only one, if the file begins with a group; else "".

    Raises ValueError where it holds nothing but groups of something else.
    """
    said = ""
    for name in sorted(file):
        if _kind(file, name) is not h5py.Group:
            return ""
        group: Any = file[name]
        if len(group) == 1:
            (inner,) = group
            if _kind(group, inner) is not h5py.Group:
                return str(inner)
        said = (
            said or f"{file.filename}: {name}: {_describe(group)}; expected {_expected('', False)}"
        )
    raise UnreadableError(said)


def find_dataset(file: h5py.File, name: str, key: str = "", *, chosen: bool = True) -> h5py.Dataset:
    """The dataset `name`, or that of the group `name`: `key`, or without one the only one.

    Where the key is not `chosen` by the user, it must be the group's only entry.

    Raises:
        ValueError: there is none, or it is not of numbers.
    """
    where = f"{file.filename}: {name}"
    entry = _follow(file, name, where)
    if isinstance(entry, h5py.Group):
        if not key or key not in entry or (len(entry) != 1 and not chosen):
            raise UnreadableError(f"{where}: {_describe(entry)}; expected {_expected(key, chosen)}")
        where = f"{where}/{key}"
        entry = _follow(entry, key, where)
        if isinstance(entry, h5py.Group):
            raise UnreadableError(f"{where}: {_describe(entry)}; expected a dataset")
    if not isinstance(entry, h5py.Dataset):
        raise UnreadableError(f"{where}: a named type; expected a dataset")
    _check_numbers(entry, where)
    return entry


def read_dataset(dataset: h5py.Dataset) -> np.ndarray:
    """Read a dataset, all of whose values must have been stored.

    Raises:
        ValueError: some were never written, a source of a virtual dataset or an external file is
            missing, it unpacks to far too much, or it is damaged.
    """
    where = f"{dataset.file.filename}: {(dataset.name or '').lstrip('/')}"
    with naming(where):
        _check_stored(dataset, where)
        try:
            return dataset[()]
        except OSError as error:
            raise OSError(_lacking_filter(dataset) or error) from error


def _follow(parent: h5py.Group, name: str, where: str) -> Any:
    """An entry of a group, behind whatever link."""
    link: Any = parent.get(name, getlink=True)
    try:
        if isinstance(link, h5py.ExternalLink):
            _find_file(parent.file, link.filename, f"{where}: a link to {link.path}")
        return parent[name]
    except (KeyError, OSError, RuntimeError) as error:
        what = "an entry" if isinstance(link, h5py.HardLink) else f"a link to {link.path}"
        what += f" of {link.filename}" if isinstance(link, h5py.ExternalLink) else ""
        raise UnreadableError(f"{where}: {what} that cannot be opened ({error.args[0]})") from error


def _kind(group: h5py.Group, name: str) -> Any:
    """The class of an entry; None of what is behind a soft or an external link."""
    hard = isinstance(group.get(name, getlink=True), h5py.HardLink)
    return group.get(name, getclass=True) if hard else None


def _describe(group: h5py.Group) -> str:
    """Say what a group holds."""
    names = list(group)
    kinds = {_kind(group, name) for name in names}
    kind = "group" if kinds == {h5py.Group} else "entry" if len(names) == 1 else "entrie"
    plural = "" if len(names) == 1 else "s"
    shown = ", ".join([*names[:3], *["…"] * (len(names) > 3)])
    return f"a group of {len(names)} {kind}{plural} ({shown})"


def _expected(key: str, chosen: bool) -> str:
    if chosen and key:
        return f"the dataset {key!r} in it"
    one = f"one dataset, {key!r} as in the others" if key else "one dataset"
    return f"{one}, or --key NAME for that of several"


def _check_numbers(dataset: h5py.Dataset, where: str) -> None:
    if dataset.shape is None:
        raise UnreadableError(f"{where}: an empty dataset: it has no shape, nothing was stored")
    with naming(where):  # h5py has no type for some
        dtype = dataset.dtype
    if dtype.kind not in "fiu":
        kind = "references" if h5py.check_ref_dtype(dtype) else dtype
        kind = "strings" if h5py.check_string_dtype(dtype) else kind
        raise UnreadableError(f"{where}: features are of type {kind}; expected numbers")


def _check_stored(dataset: Any, where: str, depth: int = 0) -> None:
    """Raise ValueError unless every value of a dataset is stored somewhere."""
    if not dataset.size:
        return
    if dataset.is_virtual:
        _check_sources(dataset, where, depth)
        return
    if dataset.external:
        _check_external(dataset, where)
        return
    stored = dataset.id.get_storage_size()
    if not stored:
        raise UnreadableError(f"{where}: was created, but nothing was ever written to it")
    if dataset.chunks:
        wanted = math.prod(-(-n // c) for n, c in zip(dataset.shape, dataset.chunks, strict=True))
        found = dataset.id.get_num_chunks()
        if found < wanted:
            raise UnreadableError(
                f"{where}: only {found:,} of its {wanted:,} chunks were ever written"
            )
    check_unpacked(dataset.nbytes, stored, where)


def _check_sources(dataset: Any, where: str, depth: int) -> None:
    """Look the sources of a virtual dataset up: HDF5 reads missing ones as its fill value."""
    if depth > _DEEPEST:
        raise UnreadableError(
            f"{where}: virtual datasets more than {_DEEPEST} deep, or in a circle"
        )
    mapped = 0
    for source in dataset.virtual_sources():
        what = f"{where}: a virtual dataset of {source.dset_name} of {source.file_name}"
        try:
            mapped += source.vspace.get_select_npoints()
        except RuntimeError as error:  # a selection that grows with its sources
            raise UnreadableError(
                f"{what} without a fixed size: store it as a plain one"
            ) from error
        if source.file_name == ".":
            _check_source(dataset.file, source, what, depth)
            continue
        with h5py.File(_find_file(dataset.file, source.file_name, what), "r") as other:
            _check_source(other, source, what, depth)
    if mapped < dataset.size:
        lacking = dataset.size - mapped
        raise UnreadableError(
            f"{where}: a virtual dataset; {lacking:,} of its values have no source"
        )


def _check_source(file: h5py.File, source: Any, what: str, depth: int) -> None:
    """Check that a source is there, holds what is mapped, and is itself stored."""
    dataset: Any = file.get(source.dset_name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None:
        raise UnreadableError(f"{what}, which is not in that file")
    space = source.src_space
    whole = space.get_select_type() == h5py.h5s.SEL_ALL
    ends = (n - 1 for n in dataset.shape) if whole else space.get_select_bounds()[1]
    wanted = source.vspace.get_select_npoints() if whole else 0
    if (
        not dataset.size
        or dataset.size < wanted
        or any(end >= length for end, length in zip(ends, dataset.shape, strict=True))
    ):
        raise UnreadableError(
            f"{what}, which is smaller ({dataset.shape}) than what is taken of it"
        )
    _check_stored(dataset, what, depth + 1)


def _check_external(dataset: Any, where: str) -> None:
    """Look the files of raw values up that a dataset lies in."""
    for name, start, size in dataset.external:
        what = f"{where}: its values in {name}"
        path = _find_file(dataset.file, os.fsdecode(name), what)
        if size != h5py.h5f.UNLIMITED and path.stat().st_size < start + size:
            raise UnreadableError(
                f"{what}: that file is shorter than the {start + size:,} bytes needed"
            )


def _find_file(file: h5py.File, name: str, what: str) -> Path:
    """Another file that a file names, where HDF5 looks for it; a regular one.

    Raises ValueError where there is none, saying `what` needs it.
    """
    folder = Path(file.filename).parent
    prefixes = filter(None, map(os.environ.get, ("HDF5_VDS_PREFIX", "HDF5_EXT_PREFIX")))
    places = [Path(p.replace("${ORIGIN}", str(folder))) / name for p in prefixes]
    places += [folder / name, Path(name), folder / Path(name).name]
    path = next((place for place in places if place.exists()), None)
    if path is None:
        raise UnreadableError(f"{what}: the file {name} is missing; put it beside {file.filename}")
    found = _LINKED.get(None)
    if found is not None:
        found.add(path)
    return require_file(path, "features")


def _lacking_filter(dataset: h5py.Dataset) -> str:
    """Name the filter that a dataset is stored with and that is not available; "" if all are."""
    settings = dataset.id.get_create_plist()
    for place in range(settings.get_nfilters()):
        code, _, _, name = settings.get_filter(place)
        if not h5py.h5z.filter_avail(code):
            return (
                f"it is stored with the filter {name.decode(errors='replace') or code}, which is "
                "not installed here: store it with gzip, `h5repack -f GZIP=4 FILE NEW`"
            )
    return ""
