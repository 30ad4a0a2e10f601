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
from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.evaluation.collapse import signs_of_collapse
from vmr_jax.evaluation.linear_match import match_moments
from vmr_jax.evaluation.predictions import Predicted, write_predictions
from vmr_jax.evaluation.query_values import percent
from vmr_jax.evaluation.report import BASELINES, beside_linear_match, metrics_table
from vmr_jax.metrics import didemo
from vmr_jax.metrics.average_precision import set_values
from vmr_jax.metrics.baselines import baseline_values
from vmr_jax.metrics.highlight_baselines import highlight_baseline_values
from vmr_jax.metrics.highlights import highlight_metrics
from vmr_jax.metrics.intervals import method_intervals
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
        train = dataset.splits.get(config.target.train_split)
        learnt_from = train and (train.moments, dataset.videos.duration[train.video])
        kept = has_valid_truth(truths) if settings.pop("drop_invalid_gt") else None
        values = {"model": didemo.split_query_metrics(predictions, truths, durations, **settings)}
        values |= baseline_values(truths, durations, learnt_from, **settings)
        if matched is not None:
            report["linear_match"] = score(matched, domain, config)
            of_match = didemo.split_query_metrics(matched, truths, durations, **settings)
            values["linear_match"] = of_match
        for name, own in _highlights(saliency, domain, train).items():
            values.get(name, {}).update(own)
        report["model"] = dict(metrics) | percent(values["model"], kept)
        for name in ("random", "location_prior"):
            if name in values:
                report[name] = percent(values[name], kept)
        report["intervals"] = method_intervals(values, domain.table.video, kept)
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


def _highlights(
    saliency: list[np.ndarray] | None, domain: Domain, train: MomentTable | None
) -> dict[str, dict[str, np.ndarray]]:
    """QVHighlights' metrics for VeryGood clips, of the model's saliency and without looking.

    {} without saliency or ratings.
    """
    rated = domain.table.saliency
    if saliency is None or rated is None or not any(map(len, rated)):
        return {}
    learnt_from = train and train.saliency or ()
    found = {"model": highlight_metrics(saliency, rated)}
    found |= highlight_baseline_values(rated, learnt_from)
    return {
        method: {name: own for name, own in of.items() if "VeryGood" in name}
        for method, of in found.items()
    }


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
