"""The labels of one split, and the predictions that belong to them, query by query."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.datasets.faults import summarise
from vmr_jax.data.datasets.records import Annotations, MomentRecord

_SHOWN = 5  # ids listed in a message


class Labels(NamedTuple):
    """One split's Q queries with what is true of them."""

    annotations: Annotations
    split: str
    records: list[MomentRecord]
    truths: list[np.ndarray]  # Q arrays (A, 2), seconds
    durations: np.ndarray  # (Q,) seconds of each query's video, NaN where it is not known
    video: np.ndarray  # (Q,) ids of the queries' videos

    @property
    def name(self) -> str:
        """Dataset and split, for a title."""
        return f"{self.annotations.name} / {self.split}"

    @property
    def training(self) -> tuple[list[np.ndarray], np.ndarray] | None:
        """Truths and durations of the training split; None where it is scored, or not there."""
        train = self.annotations.splits.get("train") if self.split != "train" else None
        return truths_of(self.annotations, train) if train else None

    @property
    def training_ratings(self) -> list[np.ndarray]:
        """The ratings (C, A) of the training split's clips; [] where it is scored, or not there."""
        train = self.annotations.splits.get("train") if self.split != "train" else None
        return ratings_of(train or [])

    @property
    def faults(self) -> list[str]:
        """A line for each kind of fault in the labels, other splits' left out."""
        others = tuple(f"{name} " for name in self.annotations.splits if name != self.split)
        own = [fault for fault in self.annotations.faults if not fault.where.startswith(others)]
        return [
            f"labels: {len(group['where'])} x {group['kind']} "
            f"({group['repair'] or 'not repaired'}), e.g. {group['where'][0]}"
            for group in summarise(own)
        ]


def read_labels(path: Path, dataset: str = "jsonl", split: str = "") -> Labels:
    """Read the labels of a split; `split` may be "" where there is one only.

    Raises:
        ValueError: a file is not in its format; the split is not known, has no query, hidden
            labels or repeated ids.
        FileNotFoundError: a file is not there.
    """
    annotations = read_annotations(dataset, path)
    split = _choose_split(annotations, split)
    records = annotations.splits[split]
    if not records:
        raise ValueError(f"{split} has no queries")
    counts = Counter(record.query_id for record in records)
    refuse([i for i, n in counts.items() if n > 1], f"ids that come twice in the labels of {split}")
    hidden = [record.query_id for record in records if not len(record.moments)]
    refuse(hidden, f"queries of {split} whose labels are hidden; they cannot be scored")
    video = np.array([record.video_id for record in records])
    return Labels(annotations, split, records, *truths_of(annotations, records), video)


def truths_of(
    annotations: Annotations, records: Sequence[MomentRecord]
) -> tuple[list[np.ndarray], np.ndarray]:
    """True moments (A, 2) and duration (Q,) of each query, seconds; NaN where none is known."""
    durations = [annotations.durations.get(record.video_id, np.nan) for record in records]
    return [record.moments for record in records], np.array(durations)


def ratings_of(records: Sequence[MomentRecord]) -> list[np.ndarray]:
    """What A annotators say of each query's clips, (C, A); C is 0 where nobody does."""
    none = np.zeros((0, 1))
    return [none if record.saliency is None else record.saliency for record in records]


def match(found: Mapping[str, np.ndarray], labels: Labels, width: int = 3) -> list[np.ndarray]:
    """The predictions of each labelled query, (K, width), in the labels' order.

    A query without a prediction has none, (0, width). Raises ValueError for ids that the labels do
    not have.
    """
    known = {record.query_id for record in labels.records}
    unknown = [qid for qid in found if qid not in known]
    refuse(unknown, f"predicted ids that the labels of {labels.split} do not have")
    none = np.zeros((0, width))
    return [found.get(record.query_id, none) for record in labels.records]


def count_missing(found: Mapping[str, np.ndarray], labels: Labels) -> int:
    """How many queries have no prediction."""
    return sum(record.query_id not in found for record in labels.records)


def refuse(ids: Sequence[str], what: str) -> None:
    """Raise ValueError that lists the first of some ids, if there are any."""
    if ids:
        dots = ", ..." if len(ids) > _SHOWN else ""
        raise ValueError(f"{len(ids)} {what}: {', '.join(ids[:_SHOWN])}{dots}")


def _choose_split(annotations: Annotations, split: str) -> str:
    """The split that was asked for, or the only one."""
    known = ", ".join(annotations.splits)
    if split:
        if split not in annotations.splits:
            raise ValueError(f"{annotations.name} has no split {split!r} here; it has {known}")
        return split
    if len(annotations.splits) > 1:
        raise ValueError(f"several splits are there; choose one with --split: {known}")
    return next(iter(annotations.splits))
