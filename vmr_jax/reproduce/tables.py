"""Run the rows of a paper's table and set them beside the published numbers."""

import hashlib
import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from string import ascii_lowercase
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console

from vmr_jax import models
from vmr_jax.configs.tables import TRANSFER, PaperTable, Run, find_tables
from vmr_jax.data.batches.splits import selection_split
from vmr_jax.datasets import evaluation_dataset, training_dataset, with_selection
from vmr_jax.evaluation import evaluate
from vmr_jax.evaluation.moment_report import report_folder
from vmr_jax.evaluation.report import BASELINES, count_seeds, markdown_table, measured_cell
from vmr_jax.input_files import read_json
from vmr_jax.metrics.intervals import COVERAGE
from vmr_jax.output_files import write_whole
from vmr_jax.overrides import set_key
from vmr_jax.reproduce.differences import not_told_apart, row_values
from vmr_jax.training import loop as train
from vmr_jax.types import Config

SIMULATED = "simulated"


class _Asked(NamedTuple):
    """One run of a row, as it is trained and as it is evaluated."""

    config: Config
    evaluated: Config
    seed: int


def reproduce(
    paper: str,
    table: str,
    data: str,
    seeds: int,
    out: Path,
    settings: Mapping[str, object],
    console: Console,
) -> list[dict]:
    """Run every row of a table that is a system of ours, `seeds` times; write Markdown and JSON.

    `data` is "simulated" or a directory that `vmr prepare` filled with the paper's datasets.
    `settings` are dotted config keys that apply to all rows. A run that finished before is not
    repeated; one that was interrupted goes on. A transfer matrix's Markdown is not printed. Raises
    ValueError for an unknown paper, table or key, for a table that simulated data cannot have, for
    a split without labels, and where a finished run read other data than is prepared now;
    FileNotFoundError, before the first run, for what is not prepared.
    """
    module = find_tables(paper, table)
    kind = SIMULATED if data == SIMULATED else "real"
    parts = [part for part in module.TABLES[table] if part.data in ("any", kind)]
    if not parts:
        raise ValueError(
            f"table {table} of {paper} has a metric that simulated data do not have: give the "
            "directory of the prepared dataset, --data DIR"
        )
    asked = [
        _asked(part.config or module.CONFIG, part, data, range(seeds), settings) for part in parts
    ]
    every = [run for part in asked for runs in part for run in runs]
    _check_data([run for run in every if run.seed == 0])
    numbers, reports = count(1), []
    for letter, part, rows in zip(ascii_lowercase, parts, asked, strict=False):
        stem = f"table{table}" if table.isdigit() else f"{table}_"
        name = f"{paper}_{stem}" + (letter if len(parts) > 1 else "")
        found = []
        for row, runs in zip(part.rows, rows, strict=True):
            found.append([])
            for run in runs:
                console.rule(f"run {next(numbers)} of {len(every)}")
                where = f"{_transfer(run.config)}, " if len(parts) > 1 else ""
                console.print(f"{where}{row.name}, seed {run.seed}", markup=False)
                found[-1].append(_measure(run, out, console))
        report = _report(part, found, seeds, settings)
        write_whole(out / f"{name}.json", json.dumps(report, indent=2) + "\n")
        write_whole(out / f"{name}.md", as_markdown(report))
        if table != TRANSFER:
            console.print(as_markdown(report), markup=False)
        console.print(f"written to {out / name}.md and .json")
        reports.append(report)
    return reports


def as_markdown(report: Mapping) -> str:
    """The report as a Markdown table: measured mean ± standard deviation, and what is published."""
    metrics = report["metrics"]
    head = [f"measured {name}" for name in metrics]
    about = (
        f"Percent. Measured: mean ± standard deviation (n - 1) of {count_seeds(report['seeds'])}, "
        "on the split that the row names."
    )
    if any(row.get("not_told_apart") for row in report["rows"]):
        about += (
            " ≈: not told apart from the best row measured on the same split, the interval "
            f"({COVERAGE} %) of the difference over drawn videos and seeds holds 0."
        )
    published = any(row["published"] for row in report["rows"])
    if published:
        head += [f"published {name}" for name in metrics]
        about += f" Published: {report['published_on']}."
    rows = []
    for row in report["rows"]:
        same = row.get("not_told_apart", ())
        cells = [
            measured_cell(row["measured"].get(name)) + (" ≈" if name in same else "")
            for name in metrics
        ]
        if published:
            cells += [_published(row["published"].get(name)) for name in metrics]
        rows.append([row["name"], row["measured_on"], *cells])
    lines = [f"## {report['title']}", "", about, ""]
    return "\n".join(lines + markdown_table(["row", "measured on"], head, rows)) + "\n"


def _report(
    table: PaperTable, found: Sequence[Sequence[dict]], seeds: int, settings: Mapping[str, object]
) -> dict:
    """The report of a table from the evaluation reports of each row's runs."""
    rows, baselines, values = [], {}, []
    for row, of_row in zip(table.rows, found, strict=True):
        where = "—"
        if of_row:
            first = of_row[0]
            where = f"{first['dataset']} {first['split']}, features {first['features']}"
            baselines[where] = {n: first[n] for n in BASELINES if n in first}
        values.append(row_values(where, [report["evaluated"] for report in of_row]))
        measured = _spread([report["model"] for report in of_row], table.metrics)
        rows.append(
            {
                "name": row.name,
                "measured_on": where,
                "published": row.published,
                "measured": measured,
            }
        )
    for row, unresolved in zip(rows, not_told_apart(values, table.metrics), strict=True):
        row["not_told_apart"] = unresolved
    for where, metrics in baselines.items():
        for name, values in metrics.items():
            measured = _spread([values], table.metrics)
            rows.append({"name": name, "measured_on": where, "published": {}, "measured": measured})
    return {
        "title": table.title,
        "set_up": table.set_up,
        "published_on": table.published_on,
        "seeds": seeds,
        "settings": dict(settings),
        "metrics": list(table.metrics),
        "rows": rows,
    }


def _asked(
    config_name: str,
    table: PaperTable,
    data: str,
    seeds: Sequence[int],
    settings: Mapping[str, object],
) -> list[list[_Asked]]:
    """The runs of each row, one a seed; none of a row that is no system of ours."""
    rows = []
    for row in table.rows:
        rows.append([])
        if row.run is None:
            continue
        argument = row.set_up or table.set_up
        if data == SIMULATED and table.data != SIMULATED:
            argument = ""
        for seed in seeds:
            config = _config(config_name, argument, row.run, data, seed, settings)
            evaluated = config
            if other := row.run.evaluate_on:
                evaluated = _config(config_name, argument, row.run, data, seed, settings, other)
            elif split := row.run.evaluate_split:
                evaluated = config.copy_and_resolve_references()
                evaluated.target.eval_split = split
                chooser = models.of(config).chooser(config)
                selection_split(with_selection(evaluated, chooser), chooser)
            rows[-1].append(_Asked(config, evaluated, seed))
    return rows


def _transfer(config: Config) -> str:
    """The datasets of a run, source → target."""
    return " → ".join(config[role].dataset for role in ("source", "target") if role in config)


def _measure(asked: _Asked, out: Path, console: Console) -> dict:
    """The evaluation report of one run."""
    config, evaluated, seed = asked
    workdir = out / "runs" / f"{_hash(config)}-seed{seed}"
    path = report_folder(workdir, evaluated) / "metrics.json"
    there = path.exists()
    if there or (report_folder(workdir, config) / "metrics.json").exists():
        _check_same_data(config, workdir)
        console.print(f"already there: {path if there else workdir}")
    elif train.train(_with_first_run(config, seed, out, console), workdir, "", console) is None:
        raise KeyboardInterrupt
    if not path.exists():
        evaluate.evaluate_checkpoint(evaluated, "", str(workdir), console)
    features = evaluated.target.features
    return _read_report(path) | {"features": features, "evaluated": (evaluated, path.parent)}


def _read_report(path: Path) -> dict:
    """The report of a run. Raises ValueError where its figures are no numbers."""
    again = "delete it, and the same command evaluates the run again"
    report = read_json(path, again, "dataset", "split", "model")
    for name in ("model", "location_prior", "random"):
        figures = report.get(name, {})
        if not isinstance(figures, dict) or not all(map(_is_figure, figures.values())):
            raise ValueError(f"{path} is damaged (its {name!r} are not all numbers): {again}")
    return report


def _is_figure(value: Any) -> bool:
    """Tell a number that a table can hold."""
    return type(value) in (int, float) and abs(value) < sys.float_info.max


def _with_first_run(config: Config, seed: int, out: Path, console: Console) -> Config:
    """The config, reading a first run that the rows of a table share."""
    first = models.of(config).first_run(config)
    if first is None:
        return config
    workdir = out / "runs" / f"{_hash(first)}-seed{seed}"
    if not train.run_once(first, workdir, console):
        raise KeyboardInterrupt
    return models.of(config).located(config, workdir)


def _config(config_name, argument, run: Run, data, seed, settings, evaluate_on="") -> Config:
    get_config = importlib.import_module(f"vmr_jax.configs.{config_name}").get_config
    config = get_config(argument)
    if evaluate_on:
        unseen = "simulated_unseen" if data == SIMULATED else evaluate_on
        of_unseen = get_config(f"{config.source.dataset},{unseen}")
        for name in ("target", "eval", "metric"):
            config[name] = of_unseen[name]
        config.target.features = config.source.features
    if data != SIMULATED:
        config.data_dir = data
    config.seed = seed
    of_row = {**run.settings, **(run.simulated if data == SIMULATED else {})}
    for key, value in {**of_row, **settings}.items():
        set_key(config, key, value, config_name)
    return config


def _check_same_data(config: Config, workdir: Path) -> None:
    """Raise ValueError if the finished run in `workdir` read other data than is prepared now."""
    again = f"delete {workdir}, and the same command runs it again"
    path = workdir / "config.json"
    data = read_json(path, again, "data")["data"]
    if not isinstance(data, dict) or not all(
        role in config and isinstance(read, dict) and "fingerprint" in read
        for role, read in data.items()
    ):
        raise ValueError(f"{path} is damaged (its data are no datasets of this run): {again}")
    for role, read in data.items():
        dataset = training_dataset(config, role)
        if dataset.fingerprint != read["fingerprint"]:
            raise ValueError(
                f"{dataset.name} in {config.data_dir} was prepared anew since the run in {workdir} "
                "read it: delete that folder to run it again, or give another --out"
            )


def _check_data(runs: Sequence[_Asked]) -> None:
    """Open all that the runs read, each dataset once.

    Raises FileNotFoundError for what is not prepared, ValueError where the split that is reported
    hides its labels.
    """
    reads, missing = {}, []
    for config, evaluated, _ in runs:
        described = models.of(config)
        before = described.pretraining(config), described.first_run(config)
        for trained in (config, *(one for one in before if one is not None)):
            for role in models.of(trained).domains(trained):
                key = str((trained[role], trained.get("text")))
                reads[key] = partial(training_dataset, trained, role)
        reads[str((evaluated.target, evaluated.eval))] = partial(_check_labels, evaluated)
    for read in reads.values():
        try:
            read()
        except FileNotFoundError as error:
            missing.append(str(error))
    if missing:
        raise FileNotFoundError("\n".join(dict.fromkeys(missing)))


def _check_labels(config: Config) -> None:
    """Raise ValueError where the reported split hides its labels."""
    dataset, split = evaluation_dataset(config), config.target.eval_split
    if split in dataset.splits and not any(map(len, dataset.splits[split].moments)):
        raise ValueError(
            f"{dataset.name} / {split} has no labels, so a table has nothing to report: set "
            "target.eval_split to a split with labels"
        )


def _hash(config: Config) -> str:
    """Rows and tables with the same settings share their runs."""
    content = json.loads(config.to_json_best_effort())
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


def _spread(found: Sequence[Mapping[str, float]], metrics: Sequence[str]) -> dict:
    values = {name: [metric[name] for metric in found if name in metric] for name in metrics}
    return {
        name: {
            "mean": float(np.mean(value)),
            "std": float(np.std(value, ddof=1)) if len(value) > 1 else None,
            "values": value,
        }
        for name, value in values.items()
        if value
    }


def _published(value: float | None) -> str:
    return "—" if value is None else f"{value:.2f}"
