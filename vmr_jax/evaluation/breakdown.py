"""Figures by what is asked: groups of a split's queries, and the metrics of each."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from rich.table import Table

from vmr_jax.data.text.noun_chunks import load_parser
from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.evaluation.labels import Labels
from vmr_jax.metrics.intervals import COVERAGE, bootstrap_intervals
from vmr_jax.metrics.moments import pad_truths

METRICS = ("R@1,IoU=0.5", "R@1,IoU=0.7", "mIoU")  # that a group has
MOST_COMMON = 10  # verbs and nouns that are groups
TYPES = {"v": "video", "t": "subtitles", "vt": "both"}  # of TVR's queries
_EDGES = {  # the upper ends of the groups, the last one open; inclusive
    "moment length": ((5, 10, 30, 60), "s"),
    "video length": ((30, 60, 180, 600), "s"),
    "query length": ((5, 10, 15), "words"),
}

Groups = dict[str, dict[str, np.ndarray]]  # attribute -> group -> True on its queries (Q,)
Tag = Callable[[Sequence[str]], list[list[tuple[str, str]]]]  # (lemma, part of speech) a sentence


def groups_of(labels: Labels, tag: Tag | None = None) -> Groups:
    """The groups of a split's queries, empty ones left out.

    moment length, and position: of the mean of a query's true moments; the position is the third
    of the video in which its middle lies. video length; query length in words; windows: how many
    true moments; training words: whether all of its words are in a training query, where there is
    a training split; about: what is seen, said, or both, where the annotations tell (TVR). verb and
    noun: the MOST_COMMON lemmas of each, where `tag` finds them (a query may be in several of these
    groups).
    """
    true = pad_truths(labels.truths)
    words = [tokenize(record.sentence) for record in labels.records]
    middle = np.nanmean(true, axis=(1, 2)) / labels.durations
    place = np.clip(np.floor(3 * middle), 0, 2)
    found: Groups = {
        "moment length": _by_edges("moment length", np.nanmean(true[..., 1] - true[..., 0], 1)),
        "position": {
            name: place == third for third, name in enumerate(("first third", "middle", "last"))
        },
        "video length": _by_edges("video length", labels.durations),
        "query length": _by_edges("query length", np.array([len(own) for own in words])),
    }
    counts = np.array([len(windows) for windows in labels.truths])
    if labels.annotations.name != "didemo":  # several moments there are several annotators'
        found["windows"] = {str(n): counts == n for n in (1, 2, 3)} | {"4 and more": counts > 3}
    train = labels.annotations.splits.get("train") if labels.split != "train" else None
    if train:
        seen = {word for record in train for word in tokenize(record.sentence)}
        unseen = np.array([not seen.issuperset(own) for own in words])
        found["training words"] = {"all seen": ~unseen, "one or more unseen": unseen}
    about = np.array([record.modality for record in labels.records])
    if about.any():
        found["about"] = {name: about == code for code, name in TYPES.items()}
    if tag is not None:
        found |= _by_lemmas(tag([record.sentence for record in labels.records]))
    return {
        name: {group: rows for group, rows in groups.items() if rows.any()}
        for name, groups in found.items()
    }


def breakdown(
    values: Mapping[str, np.ndarray], groups: Groups, video: np.ndarray
) -> dict[str, dict[str, dict[str, Any]]]:
    """METRICS of each group in percent, with "queries" and "intervals" over their videos (Q,).

    `values` are those of `query_values`, (Q,) in [0, 1].
    """
    columns = {
        (name, group, metric): np.where(rows, values[metric], np.nan)
        for name, own in groups.items()
        for group, rows in own.items()
        for metric in METRICS
        if metric in values
    }
    intervals = bootstrap_intervals(columns, video)
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for (name, group, metric), column in columns.items():
        rows = groups[name][group]
        own = found.setdefault(name, {}).setdefault(
            group, {"queries": int(rows.sum()), "intervals": {}}
        )
        own[metric] = 100 * float(np.nanmean(column))
        own["intervals"][metric] = intervals[name, group, metric]
    return found


def breakdown_table(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Table:
    """A row a group: its queries, its figures, and the interval of the first."""
    table = Table("by", "group", padding=0)
    metrics = [
        name for name in METRICS if all(name in g for own in found.values() for g in own.values())
    ]
    for name in ("queries", metrics[0], f"{COVERAGE} %", *metrics[1:]):
        table.add_column(name, justify="right", no_wrap=True)
    for name, groups in found.items():
        for place, (group, own) in enumerate(groups.items()):
            low, high = own["intervals"][metrics[0]]
            table.add_row(
                "" if place else name,
                group,
                str(own["queries"]),
                f"{own[metrics[0]]:.2f}",
                "—" if np.isnan(low) else f"{low:.1f} to {high:.1f}",
                *(f"{own[metric]:.2f}" for metric in metrics[1:]),
            )
        table.add_section()
    return table


def spacy_tagger() -> Tag | None:
    """Lemmas and parts of speech by spaCy's en_core_web_sm; None where that is not installed."""
    try:
        parse, _ = load_parser(["ner", "parser"])
    except (ImportError, OSError):
        return None
    return lambda sentences: [
        [(token.lemma_.lower(), token.pos_) for token in document]
        for document in parse.pipe(sentences)
    ]


def _by_edges(name: str, amount: np.ndarray) -> dict[str, np.ndarray]:
    """Groups of an amount (Q,) between the edges of its attribute."""
    edges, unit = _EDGES[name]
    place = np.searchsorted(edges, amount, side="left")
    names = [f"to {edge} {unit}" for edge in edges] + [f"above {edges[-1]} {unit}"]
    known = ~np.isnan(amount)
    return {group: known & (place == i) for i, group in enumerate(names)}


def _by_lemmas(tagged: list[list[tuple[str, str]]]) -> Groups:
    """Groups of the queries with each of the most common verbs and nouns."""
    found: Groups = {}
    for name, part in (("verb", "VERB"), ("noun", "NOUN")):
        own = [{lemma for lemma, tag in sentence if tag == part} for sentence in tagged]
        common = Counter(lemma for lemmas in own for lemma in lemmas).most_common(MOST_COMMON)
        found[name] = {word: np.array([word in lemmas for lemmas in own]) for word, _ in common}
    return found
