"""TVR (Lei et al., 2020): queries as JSON lines, durations in one index file, subtitles."""

from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json, read_json_lines, window
from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.datasets.repair import set_duration

FILES = {
    "train": ("tvr_train_release.jsonl",),
    "val": ("tvr_val_release.jsonl",),
    "test_public": ("tvr_test_public_release.jsonl",),
}
HIDDEN = "test_public"  # the only split whose lines may lack video and time
DURATIONS = "tvr_video2dur_idx.json"
SUBTITLES = "tvqa_preprocessed_subtitles.jsonl"


def read(name: str, directory: Path) -> Annotations:
    """Read the splits that are there. A query's id is its `desc_id`.

    The videos are all those of these splits, with or without a query: TVR's corpus. Where the
    labels are hidden (only in test_public) a query has no moments and the video id "".

    Raises:
        ValueError: a file is not in the format, or a line of train or val has no label (file and
            line named).
        FileNotFoundError: no split's file, or no index file, is there.
    """
    paths, faults = find_splits(name, directory, FILES)
    durations = _read_durations(directory, list(paths), faults)
    splits = {}
    for split, path in paths.items():
        splits[split] = []
        for where, record in read_json_lines(path):
            hidden = split == HIDDEN and "vid_name" not in record
            times = [] if hidden else [window(field(record, "ts", list, where), where)]
            splits[split].append(
                MomentRecord(
                    query_id=str(field(record, "desc_id", (str, int), where)),
                    video_id="" if hidden else field(record, "vid_name", str, where),
                    sentence=field(record, "desc", str, where).strip(),
                    moments=np.array(times, np.float64).reshape(-1, 2),
                    modality=field(record, "type", str, where) if "type" in record else "",
                )
            )
    subtitles = _read_subtitles(directory / SUBTITLES, durations, faults)
    return Annotations(name, splits, durations, faults, subtitles)


def _read_durations(directory: Path, splits: list[str], faults: list[Fault]) -> dict[str, float]:
    """Read the durations of these splits' videos."""
    path = directory / DURATIONS
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: it holds the durations of TVR's videos")
    index = read_json(path, dict)
    durations = {}
    for split in splits:
        for video, entry in field(index, split, dict, str(path)).items():
            seconds = entry[0] if isinstance(entry, list) and entry else None
            if not isinstance(seconds, int | float) or isinstance(seconds, bool):
                raise ValueError(f"{path}: {video}: expected [duration, index]")
            set_duration(durations, video, float(seconds), f"{split} {video}", faults)
    return durations


def _read_subtitles(
    path: Path, durations: dict[str, float], faults: list[Fault]
) -> dict[str, list[tuple[float, float, str]]]:
    """Read the subtitles of the videos that are used; none when the file is absent."""
    if not path.exists():
        faults.append(Fault("no subtitles", path.name, "read without"))
        return {}
    subtitles = {}
    for where, record in read_json_lines(path):
        video = field(record, "vid_name", str, where)
        if video not in durations:
            continue
        lines = field(record, "sub", list, where)
        subtitles[video] = [
            (
                float(field(line, "start", (float, int), where)),
                float(field(line, "end", (float, int), where)),
                field(line, "text", str, where).strip(),
            )
            for line in lines
        ]
    return subtitles
