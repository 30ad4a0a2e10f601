"""Score the predicted moments of a split, set them beside the yardsticks, write the report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

from vmr_jax import models
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.splits import asked_part
from vmr_jax.data.tables.dataset import Dataset
from vmr_jax.evaluation.collapse import signs_of_collapse
from vmr_jax.evaluation.linear_match import match_moments
from vmr_jax.evaluation.predictions import Predicted, write_predictions
from vmr_jax.evaluation.report import BASELINES, beside_linear_match, metrics_table
from vmr_jax.metrics import baselines, didemo
from vmr_jax.metrics.average_precision import set_values
from vmr_jax.metrics.highlights import highlight_metrics
from vmr_jax.metrics.intervals import moment_intervals
from vmr_jax.metrics.moments import has_valid_truth
from vmr_jax.output_files import write_whole
from vmr_jax.types import Config


def score(predictions: Sequence[np.ndarray], domain: Domain, config: Config) -> dict[str, float]:
    """Metrics of predictions on a split, in percent.

    With `metric.didemo` they hold DiDeMo's rank@1 and rank@5 too, and its mIoU in place of the
    mean IoU of the best annotator.
    """
    return didemo.split_metrics(
        predictions,
        domain.moments,
        _durations(domain),
        query_ids=domain.table.query_id,
        **_metric_settings(config),
    )


def write_report(
    scored: tuple[Predicted, Mapping[str, float]],
    dataset: Dataset,
    domain: Domain,
    config: Config,
    checkpoint: Mapping,
    workdir: Path,
    console: Console,
) -> dict:
    """Print the table beside the baselines, write predictions.jsonl and, as the last, metrics.json.

    Without metrics, of hidden labels, metrics.json says only what was predicted.
    """
    (predictions, saliency), metrics = scored
    settings = _metric_settings(config)
    truths, durations = domain.moments, _durations(domain)
    report = {
        "dataset": dataset.name,
        "split": config.target.eval_split,
        "queries": len(truths),
        "dropped": int((~has_valid_truth(truths)).sum())
        if metrics and settings["drop_invalid_gt"]
        else 0,
        "checkpoint": dict(checkpoint),
        "system": models.of(config).shown,
    }
    matched = match_moments(config, domain) if metrics else None
    if metrics:
        report["model"] = dict(metrics) | _highlights(saliency, domain)
        train = dataset.splits.get(config.target.train_split)
        learnt_from = train and (train.moments, dataset.videos.duration[train.video])
        report |= baselines.baseline_metrics(truths, durations, learnt_from, **settings)
        if matched is not None:
            report["linear_match"] = score(matched, domain, config)
        report["intervals"] = moment_intervals(
            predictions, matched, truths, durations, domain.table.video, **settings
        )
    part = asked_part(config)
    report |= {} if part == "full" else {"query": part}
    if jax.process_index() == 0:
        console.print(
            f"{report['dataset']} / {report['split']}: {report['queries']} queries, checkpoint of "
            f"step {checkpoint['step']} (selected by: {checkpoint['selected_by']})"
        )
        if report["dropped"]:
            console.print(f"{report['dropped']} queries without a valid moment are left out")
        if metrics:
            _print_metrics(report, config, console)
            for line in signs_of_collapse(predictions, report):
                console.print(line)
        else:
            console.print("the labels of this split are hidden: no metrics, only predictions.jsonl")
        folder, table = report_folder(workdir, config), domain.table
        folder.mkdir(parents=True, exist_ok=True)
        videos = [dataset.videos.video_id[row] for row in table.video]
        asked = table.query_id, table.sentence, videos
        write_predictions(folder / "predictions.jsonl", *asked, predictions, saliency)
        if matched is not None:
            write_predictions(folder / "linear_match.jsonl", *asked, matched)
        write_whole(folder / "metrics.json", json.dumps(report, indent=2) + "\n")
        console.print(f"written to {folder}")
    return report


def _highlights(saliency: list[np.ndarray] | None, domain: Domain) -> dict[str, float]:
    """QVHighlights' metrics of saliency for VeryGood clips, {} without saliency or ratings."""
    rated = domain.table.saliency
    if saliency is None or rated is None or not any(map(len, rated)):
        return {}
    found = highlight_metrics(saliency, rated)
    return {n: 100 * float(np.nanmean(x)) for n, x in found.items() if "VeryGood" in n}


def _print_metrics(report: Mapping, config: Config, console: Console) -> None:
    """Print the metrics beside the baselines'."""
    if "location_prior" not in report:
        console.print("location_prior cannot be learnt: no training split with labels")
    systems = {report["system"]: report["model"]} | {
        name: report[name] for name in BASELINES if name in report
    }
    console.print(metrics_table(systems, report["intervals"]["model"]))
    if "linear_match" in report:
        console.print(beside_linear_match(report))
    if config.metric.didemo:
        console.print(didemo.legend(config.metric.didemo))


def report_folder(workdir: Path, config: Config) -> Path:
    """Where the report of a run is written."""
    part = asked_part(config)
    name = f"{config.target.dataset}_{config.target.eval_split}"
    return workdir / "eval" / (name if part == "full" else f"{name}_{part}")


def _durations(domain: Domain) -> np.ndarray:
    """The duration of each query's video, (Q,) float64 seconds, as it was annotated."""
    return domain.dataset.videos.duration[domain.table.video]


def _metric_settings(config: Config) -> dict:
    several = config.metric.get("several", False)  # checkpoints of older versions do not say
    return {
        "added": set_values if several else None,
        "discounted": config.metric.discounted,
        "iou_cmp": config.metric.iou_cmp,
        "drop_invalid_gt": config.metric.drop_invalid_gt,
        "didemo": config.metric.didemo,
    }
