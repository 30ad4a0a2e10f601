"""Score a prediction file or a submission, of this or other code, against a dataset's labels."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from vmr_jax.answers.files import count_reasons
from vmr_jax.data.datasets import tvr_ranking
from vmr_jax.evaluation.breakdown import breakdown, breakdown_table, groups_of, spacy_tagger
from vmr_jax.evaluation.given import read_given
from vmr_jax.evaluation.labels import Labels, count_missing, ratings_of, read_labels
from vmr_jax.evaluation.predictions import read_prediction_file
from vmr_jax.evaluation.query_values import ORDERS, QueryValues, percent, query_values
from vmr_jax.evaluation.report import Report, metrics_table, scored_table
from vmr_jax.evaluation.score_ranking import score_ranking
from vmr_jax.evaluation.score_submission import score_submission
from vmr_jax.evaluation.submission import is_submission, read_submission
from vmr_jax.input_files import require_file
from vmr_jax.metrics.average_precision import THRESHOLDS, length_means
from vmr_jax.metrics.baselines import baseline_values
from vmr_jax.metrics.didemo import legend
from vmr_jax.metrics.highlight_baselines import highlight_baseline_values
from vmr_jax.metrics.intervals import method_intervals
from vmr_jax.metrics.moments import DISCOUNTED_DATASETS

_SAID_OF_ORDER = {
    "score": "not in the order of their scores: the scores count here, the listed order in the "
    "official tools; --order file takes that",
    "file": "not in the order of their scores: the listed order counts",
}


def score_files(
    predictions: Path,
    labels: Path,
    dataset: str = "jsonl",
    split: str = "",
    with_map: bool = False,
    order: str = "score",
    linear_match: Path | None = None,
    kind: str = "windows",
    fps: float = 0,
    bins: float = 0,
    by: bool = False,
    figures: Path | None = None,
) -> Report:
    """Score a prediction file against one split's labels.

    `dataset` is a reader's name and `labels` what it reads: its annotation directory, or a file
    for "jsonl". `split` may be "" when there is one only. Which metrics there are is said by
    `query_values`. A query's predictions are ranked by score, or, with order="file", as they are
    listed; where the two differ, that is said. Labelled queries without a prediction are misses,
    and counted. `linear_match` is a prediction file to set beside it, such as the one that an
    evaluation writes. With the `kind` "text" the file holds answers of a language model, as
    `read_given` reads them with `fps` and `bins`; those that cannot be read are misses, counted by
    reason in "unread" and listed in Report.unread. `by` adds the figures by group of queries
    (`breakdown.groups_of`), `figures` is a folder for pictures (`write_score_figures`).

    A submission in TVR's format (told by its first key) is scored by `corpus_metrics` instead, on
    the corpus of the videos that the split's queries are about: VR, SVMR and VCMR, those that it
    has. There the listed order counts, not the score, and "missing" is a number for each task. For
    the `dataset` "tvr_ranking" it is scored by `score_ranking`.

    Report.values: {"dataset", "split", "queries", "missing", "model", "random", "location_prior"
    where a training split with labels is at hand, "linear_match" where it is given, "lengths" with
    the mAP, "highlights" and "highlight_baselines", "by", "intervals" of all of these and of "model
    - linear_match"}; the inner values are in percent.

    Raises:
        ValueError: a file is not in its format; the split is not known, has hidden labels or
            repeated ids; a prediction's id is not among the labels; a submission does not know a
            true video, or `with_map` or `linear_match` is asked of it.
        FileNotFoundError: a file is not there.
    """
    if order not in ORDERS:
        raise ValueError(f"order is {order!r}; it must be one of {', '.join(ORDERS)}")
    require_file(predictions, "predictions")
    if dataset == tvr_ranking.NAME:
        options = {"--map": with_map, "--linear-match": linear_match, "--by": by}
        options |= {"--figures": figures, "--format text": kind == "text"}
        _refuse_options(predictions, options)
        return score_ranking(predictions, labels, split)
    if kind == "windows" and is_submission(predictions):
        options = {"--map": with_map, "--linear-match": linear_match, "--by": by}
        _refuse_options(predictions, options | {"--figures": figures})
        submission = read_submission(predictions)
        return score_submission(submission, predictions.name, read_labels(labels, dataset, split))
    asked = read_labels(labels, dataset, split)
    given = read_given(predictions, asked, kind, fps, bins)
    values = query_values(given.predictions, asked, order, with_map)
    missing = count_missing(given.predictions.windows, asked)
    linear = None
    if linear_match is not None:
        linear = query_values(read_prediction_file(linear_match), asked).moments
    report = _figures(values, asked, linear)
    report["missing"] = missing
    if kind == "text":
        report["unread"] = count_reasons(given.unread)

    shown: list[str | Table] = [*asked.faults, *given.said]
    if missing and not given.unread:
        none = f"{missing} of {report['queries']} queries have no prediction"
        shown.append(f"{none}: they are misses")
    if values.unsorted:
        unsorted = f"{values.unsorted} of {report['queries']} queries are"
        shown.append(f"{unsorted} {_SAID_OF_ORDER[order]}")
    shown += _tables(report, values, f"{predictions.name} on {asked.name}")
    if by:
        shown += _add_breakdown(report, values, asked)
    if figures is not None:
        from vmr_jax.plots.score_figures import write_score_figures

        shown += map(str, write_score_figures(figures, values.windows, asked))
    return Report(report, tuple(shown), given.unread)


def _refuse_options(predictions: Path, options: Mapping[str, Any]) -> None:
    """Refuse the options that were given and do not apply to a submission."""
    for option, given in options.items():
        if given:
            raise ValueError(f"{predictions} is a submission for a corpus: {option} does not apply")


def _tables(report: Mapping[str, Any], values: QueryValues, title: str) -> list[str | Table]:
    """The tables of moments, lengths and highlights, and what there is to say of them."""
    shown: list[str | Table] = []
    if values.without_rule:
        shown.append(
            "without DiDeMo's own metric; below the best annotator counts: " + values.without_rule
        )
    shown += scored_table(report, title)
    if "rank@1" in values.moments:
        shown.append(legend("official"))
    if "lengths" in report:
        shown.append(_lengths_table(report["lengths"]))
    if "highlights" in report:
        shown.append("QVHighlights' highlight detection, by how good a clip must be rated")
        intervals = report["intervals"]["highlights"]
        columns = {"model": report["highlights"], **report["highlight_baselines"]}
        shown.append(metrics_table(columns, intervals))
    return shown


def _figures(
    values: QueryValues, labels: Labels, linear: Mapping[str, np.ndarray] | None
) -> dict[str, Any]:
    """The values of a report: the model's figures, the baselines', and the intervals."""
    report: dict[str, Any] = {
        "dataset": labels.annotations.name,
        "split": labels.split,
        "queries": len(labels.records),
        "model": percent(values.moments),
    }
    settings = {
        "discounted": labels.annotations.name in DISCOUNTED_DATASETS,
        "didemo": "official" if "rank@1" in values.moments else "",
    }
    others = baseline_values(labels.truths, labels.durations, labels.training, **settings)
    others |= {"linear_match": linear} if linear is not None else {}
    report |= {name: percent(own) for name, own in others.items()}
    if values.lengths:
        report["lengths"] = {name: length_means(own) for name, own in values.lengths.items()}
    blind = {}
    if values.highlights:
        report["highlights"] = percent(values.highlights)
        blind = highlight_baseline_values(ratings_of(labels.records), labels.training_ratings)
        report["highlight_baselines"] = {name: percent(own) for name, own in blind.items()}
    report["intervals"] = _intervals(values, others, blind, labels.video)
    return report


def _add_breakdown(report: dict[str, Any], values: QueryValues, labels: Labels) -> list:
    """Add "by" to a report; returns what there is to show of it."""
    tag = spacy_tagger()
    report["by"] = breakdown(values.moments, groups_of(labels, tag), labels.video)
    shown: list[str | Table] = [breakdown_table(report["by"])]
    if tag is None:
        shown.append("not by verbs and nouns: spaCy and its model en_core_web_sm are not installed")
    return shown


def _intervals(
    values: QueryValues,
    others: Mapping[str, Mapping[str, np.ndarray]],
    blind: Mapping[str, Mapping[str, np.ndarray]],
    video: np.ndarray,
) -> dict[str, Any]:
    """The intervals of all figures, with the same draws: "model", "lengths" by range, ..."""
    groups = {"lengths": values.lengths, "highlight_baselines": blind}
    flat = {"model": values.moments, "highlights": values.highlights, **others}
    flat |= {(group, name): own for group, of in groups.items() for name, own in of.items()}
    intervals: dict[str, Any] = {}
    for place, of_metrics in method_intervals(flat, video).items():
        if isinstance(place, tuple):
            group, name = place
            intervals.setdefault(group, {})[name] = of_metrics
        elif of_metrics:
            intervals[place] = of_metrics
    return intervals


def _lengths_table(lengths: Mapping[str, Mapping[str, float]]) -> Table:
    """mAP and R@1 by IoU threshold and length of the true windows."""
    table = Table("IoU", title="QVHighlights' mAP / R@1, by length of the true windows")
    for name, values in lengths.items():
        table.add_column(f"{name}\n{values['queries']} queries", justify="right")
    for m in THRESHOLDS:
        cells = (
            f"{values[f'mAP@{m:g}']:.2f} / {values[f'R@1,IoU={m:g}']:.2f}"
            for values in lengths.values()
        )
        table.add_row(f"{m:g}", *cells)
    table.add_row("average", *(f"{values['mAP']:.2f}" for values in lengths.values()))
    return table
