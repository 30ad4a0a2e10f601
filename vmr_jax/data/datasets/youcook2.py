"""YouCook2 (Zhou et al., 2018): the steps of recipes, with a sentence each.

One file for both splits: {"database": {video: {"subset": "training" or "validation", "duration": s,
"annotations": [{"id", "segment": [start s, end s], "sentence"}]}}}. The test file has no sentences.
"""

from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.files import field, read_json, window
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.datasets.repair import set_duration

FILE = "youcookii_annotations_trainval.json"
SPLITS = {"training": "train", "validation": "val"}


def read(name: str, directory: Path) -> Annotations:
    """Read both splits. A query's id is `<video>#<id of the step>`.

    Raises:
        ValueError: the file is not in the format.
        FileNotFoundError: it is not there.
    """
    path = directory / FILE
    if not path.exists():
        raise FileNotFoundError(
            f"{directory} holds no annotation file of {name}; looked for {FILE}"
        )
    splits = {split: [] for split in SPLITS.values()}
    durations, faults = {}, []
    database = field(read_json(path, dict), "database", dict, str(path))
    for video, entry in database.items():
        where = f"{path}: {video}"
        subset = field(entry, "subset", str, where)
        if subset not in SPLITS:
            raise ValueError(f'{where}: "subset" is {subset!r}; expected {" or ".join(SPLITS)}')
        split = SPLITS[subset]
        seconds = float(field(entry, "duration", (float, int), where))
        set_duration(durations, video, seconds, f"{split} {video}", faults)
        for step in field(entry, "annotations", list, where):
            times = window(field(step, "segment", list, where), where)
            splits[split].append(
                MomentRecord(
                    query_id=f"{video}#{field(step, 'id', (int, str), where)}",
                    video_id=video,
                    sentence=field(step, "sentence", str, where).strip(),
                    moments=np.array([times]),
                )
            )
    found = {split: records for split, records in splits.items() if records}
    return Annotations(name, found, durations, faults, {})
