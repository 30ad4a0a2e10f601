"""Repair what annotation files get wrong about time, and record each repair.

The rules are those of published pipelines: ends are clipped to the duration; a training query
without a valid moment is dropped; an evaluation query is never dropped, since an invalid truth
counts as a miss (docs/metrics.md, Recall).
"""

import math
from collections import Counter

import numpy as np

from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord

DROPPED = "query dropped"
KEPT = "kept; counts as a miss"


def is_training(split: str) -> bool:
    """Tell whether a split is for training: it is called train, or train_ and more."""
    return split == "train" or split.startswith("train_")


def set_duration(
    durations: dict[str, float], video: str, seconds: float, where: str, faults: list[Fault]
) -> None:
    """Note a video's duration; one that is no positive number, or differs, is a fault."""
    if not (math.isfinite(seconds) and seconds > 0):
        faults.append(Fault("duration is not a positive number", where, ""))
    elif durations.setdefault(video, seconds) != seconds:
        faults.append(Fault("two durations for one video", where, "the first is used"))


def repair(raw: Annotations) -> Annotations:
    """Clip moments to their videos, drop invalid training queries, find repeated ids."""
    faults = list(raw.faults)
    splits = {}
    for split, records in raw.splits.items():
        splits[split] = []
        if not records:
            faults.append(Fault("split without queries", split, ""))
        for record in records:
            kept = _repair_record(record, split, raw.durations, faults)
            if kept is not None:
                splits[split].append(kept)
        if records and not splits[split]:
            where = f"{split}: all {len(records)} dropped, see above"
            faults.append(Fault("no query of a training split has a moment", where, ""))
        counts = Counter(record.query_id for record in records)
        faults += [
            Fault("duplicate query id", f"{split} {i}", "") for i, n in counts.items() if n > 1
        ]
    return raw._replace(splits=splits, faults=faults)


def _repair_record(
    record: MomentRecord, split: str, durations: dict[str, float], faults: list[Fault]
) -> MomentRecord | None:
    """Repair one query's moments; None when it is dropped."""
    where = f"{split} {record.query_id}"
    if not record.sentence.strip():
        faults.append(Fault("empty sentence", where, ""))
    if not len(record.moments):
        return record
    if record.video_id not in durations:
        faults.append(Fault("video without a duration", where, ""))
        return record
    duration = durations[record.video_id]
    if all(0 <= start < end <= duration for start, end in record.moments.tolist()):
        return record
    moments = np.array(record.moments, np.float64)
    valid = np.ones(len(moments), bool)
    found = []
    for index, (start, end) in enumerate(moments):
        if not (np.isfinite(start) and np.isfinite(end)):
            faults.append(Fault("moment is not finite", where, ""))
            continue
        kind = _invalid(start, end, duration)
        if kind:
            valid[index] = False
            found.append(kind)
            continue
        if end > duration:
            faults.append(
                Fault("moment ends beyond the video", where, "end clipped to the duration")
            )
            moments[index, 1] = duration
        if start < 0:
            faults.append(Fault("moment starts before 0", where, "start clipped to 0"))
            moments[index, 0] = 0
    if not is_training(split):
        repaired = KEPT
    elif valid.any():
        repaired = "this moment of several dropped"
        moments = moments[valid]
    else:
        repaired = DROPPED
    faults += [Fault(kind, where, repaired) for kind in found]
    return None if found and repaired == DROPPED else record._replace(moments=moments)


def _invalid(start: float, end: float, duration: float) -> str:
    """Name why no prediction inside the video can meet a moment; "" when one can."""
    if end < start:
        return "inverted moment"
    if end == start:
        return "zero-length moment"
    if start >= duration or end <= 0:
        return "moment wholly beyond the video"
    return ""
