"""Annotations grouped by video: ActivityNet Captions, its re-partitions, TACoS, TimeLens-Bench.

One JSON object a split: {video: {"duration": s, "timestamps": [[start, end], ...],
"sentences": [...]}}. CD (Yuan et al., 2021) and CG (Li et al., 2022) use the same form, for
Charades too. TACoS in 2D-TAN's form has frames in the place of seconds, with "fps" and
"num_frames"; TimeLens-Bench (Zhang et al., 2025), which re-annotates test sets of Charades-STA,
ActivityNet Captions and QVHighlights, has "spans" and "queries". Further fields are not needed.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json, window
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.datasets.repair import set_duration

_CG = {
    "train": ("train.json",),
    "novel_composition": ("novel_composition.json",),
    "novel_word": ("novel_word.json",),
    "test_trivial": ("test_trivial.json",),
}
# Split -> the file's names, the official one first. ActivityNet's second names are 2D-TAN's.
FILES = {
    "activitynet_captions": {
        "train": ("train.json",),
        "val_1": ("val_1.json", "val.json"),
        "val_2": ("val_2.json", "test.json"),
    },
    "activitynet_cd": {
        "train": ("anet_train.json", "anet_train.derived.json"),
        "val": ("anet_val.json",),
        "test_iid": ("anet_test_iid.json",),
        "test_ood": ("anet_test_ood.json",),
    },
    "charades_cd": {
        "train": ("charades_train.json",),
        "val": ("charades_val.json",),
        "test_iid": ("charades_test_iid.json",),
        "test_ood": ("charades_test_ood.json",),
    },
    "activitynet_cg": _CG,
    "charades_cg": _CG,
    "tacos": {"train": ("train.json",), "val": ("val.json",), "test": ("test.json",)},
    "activitynet_timelens": {"test": ("activitynet-timelens.json",)},
    "charades_timelens": {"test": ("charades-timelens.json",)},
    "qvhighlights_timelens": {"test": ("qvhighlights-timelens.json",)},
}


def read(name: str, directory: Path) -> Annotations:
    """Read the splits that are there. A query's id is `<video>#<index in the video's list>`.

    Raises:
        ValueError: a file is not in the format, or a video's two lists differ in length.
        FileNotFoundError: no split's file is there.
    """
    paths, faults = find_splits(name, directory, FILES[name])
    lists = ("spans", "queries") if name.endswith("_timelens") else ("timestamps", "sentences")
    splits, durations = {}, {}
    for split, path in paths.items():
        splits[split] = []
        for video, entry in read_json(path, dict).items():
            where = f"{path}: {video}"
            times, sentences = (field(entry, key, list, where) for key in lists)
            if len(times) != len(sentences):
                raise ValueError(
                    f"{where}: {len(times)} {lists[0]}, but {len(sentences)} {lists[1]}"
                )
            seconds, rate = _clock(name, entry, where)
            set_duration(durations, video, seconds, f"{split} {video}", faults)
            splits[split] += [
                MomentRecord(
                    query_id=f"{video}#{index}",
                    video_id=video,
                    sentence=_sentence(sentence, f"{where}, sentence {index}"),
                    moments=np.array([window(time, f"{where}, moment {index}")]) / rate,
                )
                for index, (time, sentence) in enumerate(zip(times, sentences, strict=True))
            ]
    return Annotations(name, splits, durations, faults, {})


def _clock(name: str, entry: dict, where: str) -> tuple[float, float]:
    """A video's duration in seconds, and how many units of its times are a second."""
    if name != "tacos":
        key = "video_duration" if name == "charades_cd" else "duration"
        return float(field(entry, key, (float, int), where)), 1.0
    rate = float(field(entry, "fps", (float, int), where))
    if not 0 < rate < np.inf:
        raise ValueError(f'{where}: "fps" is {rate}; expected a positive number')
    return field(entry, "num_frames", (float, int), where) / rate, rate


def _sentence(value: Any, where: str) -> str:
    """Check that a value is a sentence."""
    if not isinstance(value, str):
        raise ValueError(f"{where}: expected a string, found {json.dumps(value)[:60]}")
    return value.strip()
