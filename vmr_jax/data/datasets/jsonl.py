"""QVHighlights, and one's own data in its format: one JSON object a query and line.

{"qid": 1, "query": "...", "vid": "...", "duration": 30.5, "relevant_windows": [[start, end], ...]}
with times in seconds. `relevant_windows` absent, null or empty: the labels are hidden; in a
training split with labels that is a fault. `relevant_clip_ids` and `saliency_scores`, where they
are there: the clips of 2 s that annotators rated, and a list of their ratings from 0 to 4 for each;
the other clips have 0. Further fields are ignored. Source: the annotations of jayleicn/moment_detr.
"""

import math
from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json_lines, window
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.datasets.repair import is_training, set_duration
from vmr_jax.metrics.highlights import CLIP_SECONDS

QVHIGHLIGHTS = {
    "train": ("highlight_train_release.jsonl",),
    "val": ("highlight_val_release.jsonl",),
    "test": ("highlight_test_with_gt.jsonl", "highlight_test_release.jsonl"),
}
_LONGEST = 10**6  # seconds of a video with ratings: a row for each of its clips is kept


def read(name: str, path: Path) -> Annotations:
    """Read one file, or each <split>.jsonl of a directory. A split's name is its file's.

    Raises:
        ValueError: a line is not in the format (file and line named).
        FileNotFoundError: the directory holds no .jsonl file.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path} holds no <split>.jsonl file, such as train.jsonl")
    return _read_splits(name, {file.stem: file for file in files}, [])


def read_qvhighlights(name: str, directory: Path) -> Annotations:
    """Read the splits of QVHighlights that are there, the test split with its labels if it can.

    Raises:
        ValueError: a line is not in the format (file and line named).
        FileNotFoundError: no split's file is there.
    """
    return _read_splits(name, *find_splits(name, directory, QVHIGHLIGHTS))


def _read_splits(name: str, files: dict[str, Path], faults: list[Fault]) -> Annotations:
    """Read each split's file."""
    splits, durations = {}, {}
    for split, file in files.items():
        splits[split] = []
        for where, record in read_json_lines(file):
            video = str(field(record, "vid", (str, int), where))
            seconds = float(field(record, "duration", (float, int), where))
            set_duration(durations, video, seconds, where, faults)
            labelled = record.get("relevant_windows") is not None
            windows = field(record, "relevant_windows", list, where) if labelled else []
            splits[split].append(
                MomentRecord(
                    query_id=str(field(record, "qid", (str, int), where)),
                    video_id=video,
                    sentence=field(record, "query", str, where).strip(),
                    moments=np.array([window(w, where) for w in windows]).reshape(-1, 2),
                    saliency=_saliency(record, seconds, where),
                )
            )
        faults += _partly_labelled(split, splits[split])
    return Annotations(name, splits, durations, faults, {})


def _partly_labelled(split: str, records: list[MomentRecord]) -> list[Fault]:
    """Find the queries without labels of a training split where others have them."""
    without = [record for record in records if not len(record.moments)]
    if not is_training(split) or len(without) == len(records):
        return []
    return [
        Fault("query without labels", f"{split} {record.query_id}", "kept, without labels")
        for record in without
    ]


def _saliency(record: dict, seconds: float, where: str) -> np.ndarray | None:
    """The annotators' ratings of a video's clips, (C, A); None where the line has none."""
    if record.get("saliency_scores") is None or not 0 < seconds < _LONGEST:
        return None
    clips = field(record, "relevant_clip_ids", list, where)
    rows = [_ratings(row, where) for row in field(record, "saliency_scores", list, where)]
    if len(rows) != len(clips) or len({len(row) for row in rows}) > 1:
        raise ValueError(f"{where}: {len(rows)} saliency_scores, not a row for each relevant clip")
    most = math.ceil(seconds / CLIP_SECONDS)
    wrong = [clip for clip in clips if type(clip) is not int or not 0 <= clip < most]
    if wrong:
        raise ValueError(f"{where}: clip {wrong[0]!r} of relevant_clip_ids is not in the video")
    if not rows:
        return None
    ratings = np.zeros((max(int(seconds / CLIP_SECONDS), max(clips) + 1), len(rows[0])))
    ratings[clips] = rows
    return ratings


def _ratings(value: Any, where: str) -> list[float]:
    """Check one clip's ratings: a list of finite numbers."""
    numbers = isinstance(value, list) and value and all(type(x) in (int, float) for x in value)
    if not numbers or not all(map(math.isfinite, value)):
        raise ValueError(f"{where}: saliency_scores must be lists of numbers, a list for each clip")
    return value
