"""MAD (Soldan et al., 2022): audio descriptions of whole movies.

One JSON object a split: {query id: {"movie", "movie_duration", "sentence", "ext_timestamps":
[start s, end s], ...}}. Source: Soldelli/MAD, whose baselines are scored on `ext_timestamps`.
"""

from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json, window
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.datasets.repair import set_duration

FILES = {"train": ("MAD_train.json",), "val": ("MAD_val.json",), "test": ("MAD_test.json",)}


def read(name: str, directory: Path) -> Annotations:
    """Read the splits that are there. A query's id is its key, a video's its `movie`.

    Raises:
        ValueError: a file is not in the format.
        FileNotFoundError: no split's file is there.
    """
    paths, faults = find_splits(name, directory, FILES)
    splits, durations = {}, {}
    for split, path in paths.items():
        splits[split] = []
        for query_id, entry in read_json(path, dict).items():
            where = f"{path}: {query_id}"
            video = str(field(entry, "movie", (str, int), where))
            seconds = float(field(entry, "movie_duration", (float, int), where))
            set_duration(durations, video, seconds, f"{split} {query_id}", faults)
            times = window(field(entry, "ext_timestamps", list, where), where)
            sentence = field(entry, "sentence", str, where).strip()
            splits[split].append(MomentRecord(query_id, video, sentence, np.array([times])))
    return Annotations(name, splits, durations, faults, {})
