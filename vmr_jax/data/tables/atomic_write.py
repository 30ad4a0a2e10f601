"""The parts of a prepared dataset: each a directory, built aside and put in place by a rename."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vmr_jax.data.tables.store import find_report, write_report
from vmr_jax.locks import locked
from vmr_jax.output_files import needing_space, sync


def check_name(name: str) -> None:
    """Refuse a name that cannot be a directory's."""
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise ValueError(f"{name!r} cannot be a name; use letters, digits, '_', '-' and '.'")


def write_part(
    target: Path,
    report: dict,
    what: str,
    write: Callable[[Path], None],
    *,
    size: int,
    overwrite: bool,
) -> dict:
    """Write a part that its report describes wholly, unless it is there; returns the report.

    `write` fills the directory that it is given, with about `size` bytes. Raises ValueError where a
    part with another report is there and not `overwrite`, `what` says what that was built from;
    FullDiskError as `put_in_place`.
    """
    with locked(target.parent):
        there = find_report(target, verify=True, replacing=overwrite)
        if there == report:
            return report
        if there and not overwrite:
            raise OtherContentError(target, what)
        with put_in_place(target, size) as directory:
            write(directory)
            write_report(directory, report)
    return report


class OtherContentError(ValueError):
    """A table of other content is there; `what` says what that was built from."""

    def __init__(self, target: Path, what: str):
        super().__init__(
            f"{target} was built from other {what}; --overwrite replaces it, another --data-dir or "
            "name keeps both"
        )


@contextmanager
def put_in_place(target: Path, size: int = 0) -> Iterator[Path]:
    """Yield a temporary directory that becomes `target` when the block ends without an error.

    Raises FullDiskError, at once where `size` bytes, as far as they are known, are not free.
    """
    temporary = target.with_name(f".{target.name}.building")
    replaced = target.with_name(f".{target.name}.replaced")
    for leftover in (temporary, replaced):  # of a build that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    with needing_space(target, size), _removed_after_errors(temporary):
        temporary.mkdir()
        yield temporary
        for path in (*temporary.iterdir(), temporary):
            sync(path)
    if target.exists():
        target.rename(replaced)
    temporary.rename(target)
    sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)


@contextmanager
def _removed_after_errors(directory: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
