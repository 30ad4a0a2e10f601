"""DiDeMo (Hendricks et al., 2017): moments as chunks of five seconds, by several annotators."""

from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json, window
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.metrics.didemo import SEGMENT

FILES = {
    "train": ("train_data.json",),
    "val": ("val_data.json",),
    "test": ("test_data.json",),
}


def read(name: str, directory: Path) -> Annotations:
    """Read the splits that are there. A query's id is its `annotation_id`.

    `times` are inclusive chunk indices: [a, b] means seconds 5a to 5(b + 1). A video's duration
    is its number of chunks times five seconds; how short the last chunk is stands in no file.
    A video's id is its file name without the extension, since some videos appear under two.

    Raises:
        ValueError: a file is not in the format.
        FileNotFoundError: no split's file is there.
    """
    paths, faults = find_splits(name, directory, FILES)
    splits, durations = {}, {}
    for split, path in paths.items():
        splits[split] = []
        for index, entry in enumerate(read_json(path, list)):
            where = f"{path}: record {index}"
            query_id = str(field(entry, "annotation_id", (str, int), where))
            file = field(entry, "video", str, where)
            video = file.rpartition(".")[0] or file
            seconds = SEGMENT * field(entry, "num_segments", int, where)
            if seconds <= 0:
                place = f"{split} {query_id}"
                faults.append(Fault("duration is not a positive number", place, ""))
            known = durations.setdefault(video, seconds)
            if seconds != known:
                repair = "the larger number of chunks is used"
                faults.append(Fault("two durations for one video", f"{split} {query_id}", repair))
                durations[video] = max(known, seconds)
            chunks = np.array([window(t, where) for t in field(entry, "times", list, where)])
            splits[split].append(
                MomentRecord(
                    query_id=query_id,
                    video_id=video,
                    sentence=field(entry, "description", str, where).strip(),
                    moments=SEGMENT * (chunks.reshape(-1, 2) + (0, 1)),
                )
            )
    return Annotations(name, splits, durations, faults, {})
