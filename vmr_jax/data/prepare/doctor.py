"""Find what is wrong with a dataset, before it is built or after."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vmr_jax.data.datasets.faults import bad_split_names, summarise
from vmr_jax.data.datasets.records import Annotations, Fault
from vmr_jax.data.prepare.feature_check import FeatureCheck
from vmr_jax.data.sources.features import FeatureSource
from vmr_jax.data.sources.names import describe_missing, match_names
from vmr_jax.data.tables.dataset import Dataset, load_dataset
from vmr_jax.data.tables.store import read_report
from vmr_jax.data.text.vocabulary import build_vocabulary, tokenize
from vmr_jax.progress import Progress, quiet

if TYPE_CHECKING:
    from rich.table import Table

_LONG = 60  # characters; of places with longer names only the first is shown
_QUERIES_DROPPED = "left out, with its queries"


def check(
    annotations: Annotations,
    features: FeatureSource | None = None,
    vectors: Mapping[str, np.ndarray] | None = None,
    *,
    progress: Progress = quiet,
) -> list[Fault]:
    """Check annotations, and the features and word vectors that go with them, where given.

    A fault with an empty `repair` is an error: it must be mended before the dataset is built.
    """
    faults = check_annotations(annotations, vectors)
    if features is not None:
        faults += check_names(annotations, features)
        faults += _check_features(annotations.name, annotations.durations, features, progress)
    return faults


def check_annotations(
    annotations: Annotations, vectors: Mapping[str, np.ndarray] | None = None
) -> list[Fault]:
    """Check annotations, and the word vectors that go with them, where given."""
    faults = [*annotations.faults, *bad_split_names(annotations)]
    sentences = [record.sentence for split in annotations.splits.values() for record in split]
    faults += [
        Fault("sentence without words", f"{split} {record.query_id}", "read as one unknown word")
        for split, records in annotations.splits.items()
        for record in records
        if record.sentence.strip() and not tokenize(record.sentence)
    ]
    if vectors is not None:
        vocabulary = build_vocabulary(sentences, vectors)
        faults += _unknown_words(dict(vocabulary.unknown.most_common()), vocabulary.coverage)
        faults += _without_vectors(vocabulary.coverage)
    return faults


def check_names(
    annotations: Annotations, features: FeatureSource, *, drop_missing: bool = False
) -> list[Fault]:
    """Compare the videos that are annotated with those that have features; nothing is read."""
    names = match_names(features.ids, annotations.durations)
    repair = _QUERIES_DROPPED if drop_missing else ""
    missing = sorted(set(annotations.durations) - set(names))
    unused = sorted(set(features.ids) - set(names.values()))
    alike = sorted((video, name) for video, name in names.items() if video != name)
    return [
        *features.faults,
        *(
            Fault("video without features", where, repair)
            for where in describe_missing(features.ids, missing).values()
        ),
        *(
            Fault("id has another form in the features", f"{video!a} is {name!a}", "taken as one")
            for video, name in alike
        ),
        *(Fault("features of no annotated video", name, "not stored") for name in unused),
    ]


def check_built(
    data_dir: str | Path, name: str, feature_name: str, *, progress: Progress = quiet
) -> list[Fault]:
    """Check a dataset that `vmr prepare` wrote: its reports and its tables.

    Tables that cannot be loaded together are one error.

    Raises:
        FileNotFoundError: it is not prepared.
    """
    try:
        dataset = load_dataset(data_dir, name, feature_name)
    except ValueError as error:
        return [Fault("dataset cannot be loaded", str(error), "")]
    root = Path(data_dir) / name
    moments, videos = read_report(root / "moments"), read_report(root / f"videos-{feature_name}")
    groups = moments["faults"] + videos["faults"]
    faults = [
        Fault(group["kind"], where, group["repair"]) for group in groups for where in group["where"]
    ]
    words = moments["vocabulary"]
    faults += _unknown_words(words["unknown"], words["coverage"])
    faults += _without_vectors(words["coverage"] if words["width"] else 1)
    faults += [
        Fault("video without features", video, _QUERIES_DROPPED) for video in videos["missing"]
    ]
    for split, counts in moments["splits"].items():
        wanted = counts["kept"] - videos["queries_without_video"][split]
        found = len(dataset.splits[split].query_id)
        if found != wanted:
            faults.append(Fault("queries are not those of the report", f"{split}: {found}", ""))

    table = dataset.videos
    durations = dict(zip(table.video_id, map(float, table.duration), strict=True))
    return faults + _check_features(name, durations, features_of(dataset), progress)


def features_of(dataset: Dataset) -> FeatureSource:
    """The features of a built dataset, by the ids of its videos."""
    table = dataset.videos
    row = {video: index for index, video in enumerate(table.video_id)}
    return FeatureSource(table.video_id, lambda video: table.features(row[video]))


def fault_table(faults: list[Fault], title: str) -> "Table":
    """Lay the faults out for a terminal: a line for each kind, errors first."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left", caption_justify="left")
    table.add_column("what", overflow="fold")
    table.add_column("count", justify="right")
    table.add_column("first", overflow="fold")
    table.add_column("error, or what is done", overflow="fold")
    for group in summarise(faults):
        where, repair = group["where"], group["repair"]
        shown = where[:1] if len(where[0]) > _LONG else where[:3]
        first = ", ".join(shown) + (", …" if len(where) > len(shown) else "")
        done = Text(repair) if repair else Text("error", style="bold red")
        table.add_row(Text(group["kind"]), f"{len(where):,}", Text(first), done)
    return table


def count_errors(faults: list[Fault]) -> int:
    """Count the faults that nothing repaired."""
    return sum(not fault.repair for fault in faults)


def _unknown_words(unknown: Mapping[str, int], coverage: float) -> list[Fault]:
    """Report the words without a vector, the frequent ones first."""
    repair = f"read as unknown; {100 * coverage:.2f} % of running words have a vector"
    return [Fault("word without a vector", word, repair) for word in unknown]


def _without_vectors(coverage: float) -> list[Fault]:
    """Report word vectors none of which is of a word of the queries."""
    if coverage > 0:
        return []
    where = "are the vectors of the queries' language, and in lower case?"
    return [Fault("no word of the queries has a vector", where, "")]


def _check_features(
    dataset: str, durations: Mapping[str, float], features: FeatureSource, progress: Progress
) -> list[Fault]:
    """Read every video's features once and check them."""
    features_check = FeatureCheck(durations, features)
    features_check.read_rest(dataset, progress)
    return features_check.faults()
