"""The papers' tables: each row's settings beside its published numbers."""

from typing import NamedTuple


class Run(NamedTuple):
    """A row that we can run. `evaluate_on` names another dataset than the target (EVA, Table 7)."""

    settings: dict[str, object] = {}  # dotted config keys, e.g. {"branches.full": False}
    evaluate_on: str = ""
    simulated: dict[str, object] = {}  # keys that take another value on simulated data


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
