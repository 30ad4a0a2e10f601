"""Charades-STA (Gao et al., 2017): one moment a line, `<video> <start> <end>##<sentence>`."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json, read_lines
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.datasets.repair import set_duration
from vmr_jax.input_files import require_file

FILES = {"train": ("charades_sta_train.txt",), "test": ("charades_sta_test.txt",)}
DURATIONS = ("Charades_v1_train.csv", "Charades_v1_test.csv")


def read(name: str, directory: Path) -> Annotations:
    """Read the splits that are there. A query's id is `<video>#<how many came before it>`.

    Durations come from Charades' own CSV files, or from charades.json (VSLNet) without them.

    Raises:
        ValueError: a line is not in the format.
        FileNotFoundError: no split's file is there, or no file with durations.
    """
    paths, faults = find_splits(name, directory, FILES)
    lengths = _read_durations(directory)
    splits, durations = {}, {}
    for split, path in paths.items():
        splits[split] = []
        seen = Counter()
        for where, line in read_lines(path):
            video, moment, sentence = _parse(line, where)
            splits[split].append(MomentRecord(f"{video}#{seen[video]}", video, sentence, moment))
            if not seen[video] and video in lengths:
                set_duration(durations, video, lengths[video], f"{split} {video}", faults)
            seen[video] += 1
    return Annotations(name, splits, durations, faults, {})


def _parse(line: str, where: str) -> tuple[str, np.ndarray, str]:
    """Split a line into video, moment (1, 2) in seconds, and sentence."""
    head, mark, sentence = line.partition("##")
    try:
        video, start, end = head.split()
        return video, np.array([[float(start), float(end)]], np.float64), sentence.strip()
    except ValueError as error:
        raise ValueError(
            f"{where}: expected '<video> <start> <end>##<sentence>', found {line[:60]!r}"
        ) from error


def _read_durations(directory: Path) -> dict[str, float]:
    """Read every Charades video's length in seconds."""
    lengths = {}
    for path in (directory / file for file in DURATIONS):
        if not path.exists():
            continue
        for row in _read_rows(path):
            try:
                lengths[row["id"]] = float(row["length"])
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}: row of {row.get('id')!r} has no number, such as 30.5, in the column "
                    f"`length` ({row.get('length')!r}); is the file complete?"
                ) from error
    other = directory / "charades.json"
    if not lengths and other.exists():
        for video, entry in read_json(other, dict).items():
            lengths[video] = float(field(entry, "duration", (float, int), f"{other}: {video}"))
    if not lengths:
        raise FileNotFoundError(
            f"{directory} holds no durations of Charades' videos; "
            f"put {' and '.join(DURATIONS)}, or charades.json, there"
        )
    return lengths


def _read_rows(path: Path) -> list[dict]:
    """Read a CSV file of named columns, between commas or, as spreadsheets write, semicolons."""
    require_file(path, "durations")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            names = file.readline()
            file.seek(0)
            delimiter = ";" if names.count(";") > names.count(",") else ","
            return list(csv.DictReader(file, delimiter=delimiter))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a CSV file in UTF-8 ({error})") from error
