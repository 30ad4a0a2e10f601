"""DiDeMo (Hendricks et al., 2017): moments as chunks of five seconds, by several annotators."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json, window
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.sources.features import FeatureSource, match_names
from vmr_jax.metrics.didemo import SEGMENT, SEGMENTS

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
            video = field(entry, "video", str, where).rpartition(".")[0]
            seconds = SEGMENT * field(entry, "num_segments", int, where)
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


def without_padding(features: FeatureSource, durations: Mapping[str, float]) -> FeatureSource:
    """Leave out the zero rows that stand after a video's last segment, and report them.

    The published files (LisaAnne/LocalizingMoments, make_average_video_dict.py) hold SEGMENTS rows
    a video, one a segment; those that a shorter video does not have are zero. Other rows stay.
    """
    padded, faults = {}, []
    for video, name in sorted(match_names(features.ids, durations).items()):
        segments = round(durations[video] / SEGMENT)
        if segments >= SEGMENTS:
            continue
        try:
            rows = features.read(name)
        except ValueError:  # the check of all features reports it
            continue
        if len(rows) == SEGMENTS and not rows[segments:].any():
            padded[name] = segments
            faults.append(Fault("zero rows after the last segment", video, "left out"))

    def read(name: str) -> np.ndarray:
        return features.read(name)[: padded.get(name)]

    return features._replace(read=read, faults=features.faults + tuple(faults))
