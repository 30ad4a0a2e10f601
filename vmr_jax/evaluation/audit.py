"""What a benchmark's own labels say of it: duplicates, how far annotators agree, blind guesses."""

from collections import Counter
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.datasets.repair import is_training
from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.evaluation.labels import ratings_of, truths_of
from vmr_jax.evaluation.query_values import percent
from vmr_jax.evaluation.report import Report, metrics_table
from vmr_jax.metrics.baselines import baseline_values
from vmr_jax.metrics.highlight_baselines import highlight_baseline_values
from vmr_jax.metrics.highlights import highlight_metrics
from vmr_jax.metrics.moments import moment_metrics

_AGREED = ("R@1,IoU=0.5", "R@1,IoU=0.7", "mIoU")


def audit_files(labels: Path, dataset: str) -> Report:
    """Audit a dataset's annotation files, as `read_annotations` reads them.

    Report.values: "splits" {split: queries, videos, sentences, repeated (video, sentence) pairs};
    "between" {"a and b": shared videos, shared sentences, shared pairs}; of each evaluation split
    with labels "blind" {method: metrics} and, where several annotators marked or rated the same,
    "agreement". Raises ValueError and FileNotFoundError as `read_annotations`.
    """
    annotations = read_annotations(dataset, labels)
    splits = {name: _pairs(records) for name, records in annotations.splits.items()}
    report: dict[str, Any] = {
        "dataset": dataset,
        "splits": {name: _sizes(pairs) for name, pairs in splits.items()},
        "between": {
            f"{first} and {second}": _shared(splits[first], splits[second])
            for first, second in combinations(splits, 2)
        },
        "agreement": {},
        "blind": {},
    }
    for name, records in annotations.splits.items():
        labelled = [record for record in records if len(record.moments)]
        if is_training(name) or not labelled:
            continue
        report["blind"][name] = _blind(annotations, labelled)
        if agreed := _agreement(dataset, labelled):
            report["agreement"][name] = agreed
    return Report(report, tuple(_shown(report)))


def _pairs(records: list[MomentRecord]) -> list[tuple[str, str]]:
    """(video, sentence) of each query; sentences are equal where their words are."""
    return [(record.video_id, " ".join(tokenize(record.sentence))) for record in records]


def _sizes(pairs: list[tuple[str, str]]) -> dict[str, int]:
    """How many queries, videos and sentences a split has, and queries that repeat a pair."""
    return {
        "queries": len(pairs),
        "videos": len({video for video, _ in pairs}),
        "sentences": len({sentence for _, sentence in pairs}),
        "repeated": sum(n - 1 for n in Counter(pairs).values()),
    }


def _shared(first: list[tuple[str, str]], second: list[tuple[str, str]]) -> dict[str, int]:
    """The videos, sentences and pairs of both that two splits have in common."""
    return {
        "videos": len({v for v, _ in first} & {v for v, _ in second} - {""}),
        "sentences": len({s for _, s in first} & {s for _, s in second}),
        "pairs": len({*first} & {*second}),
    }


def _blind(annotations: Annotations, records: list[MomentRecord]) -> dict[str, dict[str, float]]:
    """What is won without video and query: `baseline_values`, and those of highlights."""
    train = annotations.splits.get("train")
    learnt_from = truths_of(annotations, train) if train else None
    moments = baseline_values(*truths_of(annotations, records), learnt_from)
    found = {name: {metric: own[metric] for metric in _AGREED} for name, own in moments.items()}
    ratings = ratings_of(records)
    if any(map(len, ratings)):
        for name, own in highlight_baseline_values(ratings, ratings_of(train or [])).items():
            found.setdefault(name, {}).update(own)
    return {name: percent(own) for name, own in found.items()}


def _agreement(dataset: str, records: list[MomentRecord]) -> dict[str, float]:
    """How well one annotator predicts the others, in percent: where agreement ends.

    Of DiDeMo's moments each annotator's is scored against the other annotators' (the best of
    them counts), of QVHighlights' ratings each annotator's as saliency against the others'. The
    mean over annotators. {} where there is one annotator only.
    """
    if dataset == "didemo":
        pairs = [
            (record.moments[own], np.delete(record.moments, own, axis=0))
            for record in records
            for own in range(len(record.moments))
            if len(record.moments) > 1
        ]
        rows = [np.array([[*moment, 1.0]]) for moment, _ in pairs]
        found = moment_metrics(rows, [others for _, others in pairs], ranks=(1,))
        return {name: found[name] for name in _AGREED}
    rated = [r.saliency for r in records if r.saliency is not None and r.saliency.shape[1] > 1]
    if not rated:
        return {}
    values = highlight_metrics(
        [own[:, a] for own in rated for a in range(own.shape[1])],
        [np.delete(own, a, axis=1) for own in rated for a in range(own.shape[1])],
    )
    return {name: 100 * float(own.mean()) for name, own in values.items()}


def _shown(report: Mapping[str, Any]) -> list[str | Table]:
    """The tables of an audit."""
    shown: list[str | Table] = []
    for title, of in (("split", "splits"), ("in common", "between")):
        if report[of]:
            columns = list(next(iter(report[of].values())))
            table = Table(title, *columns)
            for name, counts in report[of].items():
                table.add_row(name, *(f"{counts[column]:,}" for column in columns))
            shown.append(table)
    for name, methods in report["blind"].items():
        shown += [f"{name}: won without video and query", metrics_table(methods)]
    for name, agreed in report["agreement"].items():
        what = f"{name}: one annotator as a prediction of the others"
        shown += [what, metrics_table({"annotator": agreed})]
    return shown
