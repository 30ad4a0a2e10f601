"""One's own data, in the community's format: one JSON object a query and line.

{"qid": 1, "query": "...", "vid": "...", "duration": 30.5, "relevant_windows": [[start, end], ...]}
with times in seconds. `relevant_windows` absent, null or empty: the labels are hidden; in a
training split with labels that is a fault. Further fields (those of QVHighlights) are ignored.
"""

from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.files import field, read_json_lines, window
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.datasets.repair import is_training, set_duration


def read(name: str, path: Path) -> Annotations:
    """Read one file, or each <split>.jsonl of a directory. A split's name is its file's.

    Raises:
        ValueError: a line is not in the format (file and line named).
        FileNotFoundError: the directory holds no .jsonl file.
    """
    files = sorted(path.glob("*.jsonl")) if path.is_dir() else [path]
    if not files:
        raise FileNotFoundError(f"{path} holds no <split>.jsonl file, such as train.jsonl")
    splits, durations, faults = {}, {}, []
    for file in files:
        splits[file.stem] = []
        for where, record in read_json_lines(file):
            video = str(field(record, "vid", (str, int), where))
            seconds = float(field(record, "duration", (float, int), where))
            set_duration(durations, video, seconds, where, faults)
            labelled = record.get("relevant_windows") is not None
            windows = field(record, "relevant_windows", list, where) if labelled else []
            splits[file.stem].append(
                MomentRecord(
                    query_id=str(field(record, "qid", (str, int), where)),
                    video_id=video,
                    sentence=field(record, "query", str, where).strip(),
                    moments=np.array([window(w, where) for w in windows]).reshape(-1, 2),
                )
            )
        faults += _partly_labelled(file.stem, splits[file.stem])
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
