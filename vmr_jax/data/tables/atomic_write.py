"""The parts of a prepared dataset: each a directory, built aside and put in place by a rename."""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from vmr_jax.data.tables.store import find_report, write_report
from vmr_jax.locks import locked
from vmr_jax.output_files import sync


def check_name(name: str) -> None:
    """Refuse a name that cannot be a directory's."""
    if not re.fullmatch(r"[\w.-]+", name) or name.startswith("."):
        raise ValueError(f"{name!r} cannot be a name; use letters, digits, '_', '-' and '.'")


def write_part(
    target: Path, report: dict, what: str, write: Callable[[Path], None], *, overwrite: bool
) -> dict:
    """Write a part that its report describes wholly, unless it is there; returns the report.

    `write` fills the directory that it is given. Raises ValueError where a part with another report
    is there and not `overwrite`; `what` says what that was built from.
    """
    with locked(target.parent):
        there = find_report(target, verify=True, replacing=overwrite)
        if there == report:
            return report
        if there and not overwrite:
            raise other_content(target, what)
        with put_in_place(target) as directory:
            write(directory)
            write_report(directory, report)
    return report


def other_content(target: Path, what: str) -> ValueError:
    """Say that a table of other content is there."""
    return ValueError(
        f"{target} was built from other {what}; --overwrite replaces it, another --data-dir or "
        "name keeps both"
    )


@contextmanager
def put_in_place(target: Path) -> Iterator[Path]:
    """Yield a temporary directory that becomes `target` when the block ends without an error."""
    temporary = target.with_name(f".{target.name}.building")
    replaced = target.with_name(f".{target.name}.replaced")
    for leftover in (temporary, replaced):  # of a build that was killed
        shutil.rmtree(leftover, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    for path in (*temporary.iterdir(), temporary):
        sync(path)
    if target.exists():
        target.rename(replaced)
    temporary.rename(target)
    sync(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)
