"""Ego4D NLQ (Grauman et al., 2022): questions about clips that are cut out of hour-long videos.

{"videos": [{"clips": [{"clip_uid", "video_start_sec", "video_end_sec", "annotations":
[{"annotation_uid", "language_queries": [{"query", "clip_start_sec", "clip_end_sec", ...}]}]}]}]}.
Source: the NLQ annotations as EGO4D/episodic-memory reads them.
"""

from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.datasets.repair import set_duration

FILES = {
    "train": ("nlq_train.json",),
    "val": ("nlq_val.json",),
    "test": ("nlq_test_unannotated.json",),
}


def read(name: str, directory: Path) -> Annotations:
    """Read the splits that are there. A video is a clip, its id the `clip_uid`.

    A query's id is `<annotation_uid>_<index in its language_queries>`, the `query_idx` of
    submissions. Times are seconds of the clip; a query that has only times of the whole video
    (`video_start_sec`) is moved by the clip's own start. A query without words, as the release has
    some, is left out. Where a query has no times its labels are hidden.

    Raises:
        ValueError: a file is not in the format.
        FileNotFoundError: no split's file is there.
    """
    paths, faults = find_splits(name, directory, FILES)
    splits, durations = {}, {}
    for split, path in paths.items():
        splits[split] = []
        for where, clip in _clips(path):
            video = field(clip, "clip_uid", str, where)
            start, end = (
                float(field(clip, f"video_{edge}_sec", (float, int), where))
                for edge in ("start", "end")
            )
            set_duration(durations, video, end - start, f"{split} {video}", faults)
            for annotation in field(clip, "annotations", list, where):
                uid = field(annotation, "annotation_uid", str, where)
                queries = field(annotation, "language_queries", list, where)
                for index, query in enumerate(queries):
                    query_id = f"{uid}_{index}"
                    sentence = _sentence(query, where)
                    if not sentence:
                        place = f"{split} {query_id}"
                        faults.append(Fault("query without words", place, "left out"))
                        continue
                    moments = _moments(query, start, where)
                    splits[split].append(MomentRecord(query_id, video, sentence, moments))
    return Annotations(name, splits, durations, faults, {})


def _clips(path: Path) -> list[tuple[str, Any]]:
    """("file: video", clip) of each clip of a file."""
    found = []
    for index, video in enumerate(field(read_json(path, dict), "videos", list, str(path))):
        where = f"{path}: video {index}"
        found += [(where, clip) for clip in field(video, "clips", list, where)]
    return found


def _sentence(query: Any, where: str) -> str:
    """The words of a query, "" where it has none."""
    if not isinstance(query, dict):
        raise ValueError(f"{where}: expected an object in language_queries")
    if query.get("query") is None:
        return ""
    return field(query, "query", str, where).strip()


def _moments(query: dict, start: float, where: str) -> np.ndarray:
    """The moment (1, 2) in seconds of the clip that begins at `start`, (0, 2) if hidden."""
    for clock, offset in (("clip", 0.0), ("video", start)):
        keys = f"{clock}_start_sec", f"{clock}_end_sec"
        if all(query.get(key) is not None for key in keys):
            times = [float(field(query, key, (float, int), where)) for key in keys]
            return np.array([times]) - offset
    return np.zeros((0, 2))
