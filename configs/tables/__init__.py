"""The papers' tables: each row's settings beside its published numbers."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

TRANSFER = "transfer"  # the name that a transfer matrix has among the tables of a paper


class Run(NamedTuple):
    """A row that we can run.

    It is evaluated on the target's eval_split, or where `evaluate_on` is set on another dataset
    (EVA, Table 7), or where `evaluate_split` is on that split of the target (EVA, Table 3b).
    """

    settings: Mapping[str, object] = {}  # dotted config keys, e.g. {"branches.full": False}
    evaluate_on: str = ""
    evaluate_split: str = ""
    simulated: Mapping[str, object] = {}  # keys that take another value on simulated data


class Row(NamedTuple):
    """One row: published percents by metric, and how to run it (None: not a system of ours)."""

    name: str
    published: dict[str, float]
    run: Run | None = None
    set_up: str = ""  # the config's argument on real data, where rows differ in it


def published_row(name, metrics, values, run=None, set_up="") -> Row:
    """A row with its published percents; None is a dash in the paper."""
    pairs = zip(metrics, values, strict=True)
    return Row(name, {m: value for m, value in pairs if value is not None}, run, set_up)


def row(name, metrics, values, settings=None) -> Row:
    """A row with settings of its own; without any it is no system of ours."""
    return published_row(name, metrics, values, None if settings is None else Run(settings))


class PaperTable(NamedTuple):
    """One table of a paper."""

    title: str
    set_up: str  # the config's argument on the data that the table is of
    published_on: str
    metrics: tuple[str, ...]
    rows: tuple[Row, ...]
    data: str = "any"  # real | simulated: the only data that have what the table needs
    config: str = ""  # where it is not the one of the paper's other tables


def find_tables(paper: str, table: str) -> ModuleType:
    """The module of a paper's tables. Raises ValueError for a paper or a table that is not here."""
    module = _module(paper)
    if table in module.TABLES:
        return module
    numbers = ", ".join(sorted(set(module.TABLES) - {TRANSFER}))
    if table == TRANSFER:
        others = ", ".join(name for name in _papers() if TRANSFER in _module(name).TABLES)
        raise ValueError(
            f"{paper} has --table {numbers}, but no transfer matrix (--transfer): {others} has"
        )
    has = [f"--table {numbers}"] * bool(numbers) + ["--transfer"] * (TRANSFER in module.TABLES)
    raise ValueError(f"{paper} has no table {table!r} here; it has {' and '.join(has)}")


def _papers() -> list[str]:
    return sorted(path.stem for path in Path(__file__).parent.glob("[a-z]*.py"))


def _module(paper: str) -> ModuleType:
    try:
        return importlib.import_module(f"vmr_jax.configs.tables.{paper}")
    except ModuleNotFoundError as error:
        if error.name != f"vmr_jax.configs.tables.{paper}":
            raise
        raise ValueError(f"no tables of {paper!r} here; there are {_papers()}") from error
