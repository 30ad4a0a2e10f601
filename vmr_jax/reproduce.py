"""Run the rows of a paper's table and set them beside the published numbers."""

import ast
import hashlib
import importlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import ascii_lowercase

import numpy as np
from ml_collections import ConfigDict
from rich.console import Console

from configs.tables import PaperTable, Row
from vmr_jax import evaluate, evaluate_moments, models, train
from vmr_jax.data.domains import evaluation_dataset, training_dataset
from vmr_jax.markdown import markdown_table, measured_cell

SIMULATED = "simulated"


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
    repeated; one that was interrupted goes on. Raises ValueError for an unknown paper, table or
    key, for a table that simulated data cannot have, for a split without labels, and where a
    finished run read other data than is prepared now.
    """
    module = _tables(paper)
    if table not in module.TABLES:
        raise ValueError(f"{paper} has no table {table!r} here; it has {sorted(module.TABLES)}")
    kind = SIMULATED if data == SIMULATED else "real"
    parts = [part for part in module.TABLES[table] if part.data in ("any", kind)]
    if not parts:
        raise ValueError(
            f"table {table} of {paper} has a metric that simulated data do not have: give the "
            "directory of the prepared dataset, --data DIR"
        )
    reports = []
    for letter, paper_table in zip(ascii_lowercase, parts, strict=False):
        stem = f"table{table}" if table.isdigit() else f"{table}_"
        name = f"{paper}_{stem}" + (letter if len(parts) > 1 else "")
        config = paper_table.config or module.CONFIG
        report = _report(config, paper_table, data, range(seeds), out, settings, console)
        (out / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n")
        (out / f"{name}.md").write_text(as_markdown(report))
        console.print(as_markdown(report), markup=False)
        console.print(f"written to {out / name}.md and .json")
        reports.append(report)
    return reports


def parse_settings(texts: Sequence[str]) -> dict[str, object]:
    """["epochs=3", "share=()"] -> {"epochs": 3, "share": ()}; what is no literal is text."""
    settings = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise ValueError(f"--set {text!r} must be KEY=VALUE, e.g. --set epochs=3")
        try:
            settings[key] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            settings[key] = value
    return settings


def as_markdown(report: Mapping) -> str:
    """The report as a Markdown table: measured mean ± standard deviation, and published."""
    metrics = report["metrics"]
    head = [f"measured {name}" for name in metrics] + [f"published {name}" for name in metrics]
    lines = [
        f"## {report['title']}",
        "",
        f"Percent. Measured: mean ± standard deviation (n - 1) of {report['seeds']} seeds, on the "
        f"split that the row names. Published: {report['published_on']}.",
        "",
    ]
    rows = []
    for row in report["rows"]:
        cells = [measured_cell(row["measured"].get(name)) for name in metrics]
        cells += [_published(row["published"].get(name)) for name in metrics]
        rows.append([row["name"], row["measured_on"], *cells])
    return "\n".join(lines + markdown_table(["row", "measured on"], head, rows)) + "\n"


def _report(
    config_name: str,
    table: PaperTable,
    data: str,
    seeds: Sequence[int],
    out: Path,
    settings: Mapping[str, object],
    console: Console,
) -> dict:
    rows, baselines = [], {}
    for row in table.rows:
        found = []
        for seed in seeds if row.run else ():
            console.rule(f"{row.name}, seed {seed}")
            found.append(_run(config_name, table, row, data, seed, out, settings, console))
        where = "—"
        if found:
            first = found[0]
            where = f"{first['dataset']} {first['split']}, features {first['features']}"
            baselines[where] = {n: first[n] for n in ("location_prior", "random") if n in first}
        measured = _spread([report["model"] for report in found], table.metrics)
        rows.append(
            {
                "name": row.name,
                "measured_on": where,
                "published": row.published,
                "measured": measured,
            }
        )
    for where, metrics in baselines.items():
        for name, values in metrics.items():
            measured = _spread([values], table.metrics)
            rows.append({"name": name, "measured_on": where, "published": {}, "measured": measured})
    return {
        "title": table.title,
        "set_up": table.set_up,
        "published_on": table.published_on,
        "seeds": len(seeds),
        "settings": dict(settings),
        "metrics": list(table.metrics),
        "rows": rows,
    }


def _run(config_name, table, row: Row, data, seed, out: Path, settings, console) -> dict:
    """The evaluation report of one row and seed."""
    config = _config(config_name, table, row, data, seed, settings)
    workdir = out / "runs" / f"{_hash(config)}-seed{seed}"
    evaluated = config
    if row.run.evaluate_on:
        evaluated = _config(config_name, table, row, data, seed, settings, row.run.evaluate_on)
    target = evaluated.target
    _check_labels(evaluated)
    path = evaluate_moments.report_folder(workdir, evaluated) / "metrics.json"
    if path.exists():
        _check_same_data(config, workdir)
        console.print(f"already there: {path}")
    else:
        config = _with_first_run(config, seed, out, console)
        if train.train(config, workdir, "", console) is None:
            raise KeyboardInterrupt
        if row.run.evaluate_on:
            evaluate.evaluate_checkpoint(evaluated, "", str(workdir), console)
    return json.loads(path.read_text()) | {"features": target.features}


def _with_first_run(config: ConfigDict, seed: int, out: Path, console: Console) -> ConfigDict:
    """The config, reading a first run that the rows of a table share."""
    first = models.first_run(config)
    if first is None:
        return config
    workdir = out / "runs" / f"{_hash(first)}-seed{seed}"
    if not train.run_once(first, workdir, console):
        raise KeyboardInterrupt
    return models.located(config, workdir)


def _config(config_name, table, row: Row, data, seed, settings, evaluate_on="") -> ConfigDict:
    get_config = importlib.import_module(f"configs.{config_name}").get_config
    default = data == SIMULATED and table.data != SIMULATED
    argument = "" if default else row.set_up or table.set_up
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
    of_row = row.run.settings | (row.run.simulated if data == SIMULATED else {})
    for key, value in (of_row | dict(settings)).items():
        try:
            config.update_from_flattened_dict({key: value})
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"cannot set {key}={value!r}: unknown key, or a value of another type than its "
                f"default; configs/{config_name}.py and configs/common.py list the keys"
            ) from error
    return config


def _check_same_data(config: ConfigDict, workdir: Path) -> None:
    """Raise ValueError if the finished run in `workdir` read other data than is prepared now."""
    for role, read in json.loads((workdir / "config.json").read_text())["data"].items():
        dataset = training_dataset(config, role)
        if dataset.fingerprint != read["fingerprint"]:
            raise ValueError(
                f"{dataset.name} in {config.data_dir} was prepared anew since the run in {workdir} "
                "read it: delete that folder to run it again, or give another --out"
            )


def _check_labels(config: ConfigDict) -> None:
    """Raise ValueError where the reported split hides its labels."""
    dataset, split = evaluation_dataset(config), config.target.eval_split
    if split in dataset.splits and not any(map(len, dataset.splits[split].moments)):
        raise ValueError(
            f"{dataset.name} / {split} has no labels, so a table has nothing to report: set "
            "target.eval_split to a split with labels"
        )


def _hash(config: ConfigDict) -> str:
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


def _tables(paper: str):
    try:
        return importlib.import_module(f"configs.tables.{paper}")
    except ModuleNotFoundError as error:
        if error.name != f"configs.tables.{paper}":
            raise
        folder = Path(importlib.import_module("configs.tables").__file__).parent
        known = sorted(path.stem for path in folder.glob("[a-z]*.py"))
        raise ValueError(f"no tables of {paper!r} here; there are {known}") from error
