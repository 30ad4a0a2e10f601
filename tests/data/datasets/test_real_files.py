"""The official files, where they are at hand: the counts and quirks that are known of them."""

import os
from collections import Counter
from pathlib import Path

import pytest

from vmr_jax.data.datasets import READERS, read_annotations
from vmr_jax.data.datasets.faults import count_splits

DATA = os.environ.get("VMR_DATA_DIR", "")
needs_data = pytest.mark.skipif(not DATA, reason="VMR_DATA_DIR names no directory of real files")

# dataset -> split -> queries read, queries kept, videos of the kept ones.
COUNTS = {
    "charades_sta": {"train": (12408, 12404, 5336), "test": (3720, 3720, 1334)},
    "charades_cd": {
        "train": (11071, 11071, 4564),
        "val": (859, 859, 333),
        "test_iid": (823, 823, 333),
        "test_ood": (3375, 3375, 1442),
    },
    "charades_cg": {
        "train": (8281, 8281, 3555),
        "novel_composition": (3442, 3442, 2480),
        "novel_word": (695, 695, 580),
        "test_trivial": (3096, 3096, 1689),
    },
    "activitynet_captions": {
        "train": (37421, 37417, 10009),
        "val_1": (17505, 17505, 4917),
        "val_2": (17031, 17031, 4885),
    },
    "activitynet_cd": {
        "train": (51415, 51415, 10984),
        "val": (3521, 3521, 746),
        "test_iid": (3443, 3443, 746),
        "test_ood": (13578, 13578, 2450),
    },
    "activitynet_cg": {
        "train": (36724, 36720, 9659),
        "novel_composition": (12028, 12028, 4202),
        "novel_word": (3920, 3920, 1991),
        "test_trivial": (15712, 15712, 4775),
    },
    "tvr": {"val": (10895, 10895, 2179), "test_public": (5445, 5445, 1)},
    "didemo": {"val": (4180, 4180, 1065), "test": (4021, 4021, 1004)},
}
VIDEOS = {
    "charades_sta": 6672,
    "charades_cd": 6672,
    "activitynet_captions": 14926,
    "activitynet_cd": 14926,
    "tvr": 2179 + 1089,
    "didemo": 1065 + 1004,
}
CLIPPED = {  # ends beyond the duration, but for moments that are invalid altogether
    "charades_sta": {"train": 1805 - 3, "test": 562},
    "charades_cd": {"train": 1652, "val": 135, "test_iid": 151, "test_ood": 348 - 3},
    "charades_cg": {
        "train": 1255,
        "novel_composition": 452,
        "novel_word": 109,
        "test_trivial": 412,
    },
    "activitynet_captions": {"train": 261, "val_1": 134, "val_2": 111},
    "activitynet_cg": {
        "train": 248,
        "novel_composition": 66,
        "novel_word": 34,
        "test_trivial": 123,
    },
    "tvr": {},
    "didemo": {},
}


@needs_data
def test_tvrs_queries_tell_what_they_are_about():
    records = read_annotations("tvr", Path(DATA) / "tvr").splits["val"]
    counts = Counter(record.modality for record in records)
    assert counts == {"v": 8097, "t": 964, "vt": 1834}


@needs_data
@pytest.mark.parametrize("name", COUNTS)
def test_counts(name):
    read = read_annotations(name, Path(DATA) / name)
    counts = {
        split: (c["read"], c["kept"], len({r.video_id for r in read.splits[split]}))
        for split, c in count_splits(read).items()
    }
    assert counts == COUNTS[name]
    assert len(read.durations) == VIDEOS.get(name, len(read.durations))
    assert not [fault for fault in read.faults if not fault.repair]
    clipped = Counter(fault.where.split()[0] for fault in read.faults if "clipped" in fault.repair)
    assert clipped == CLIPPED.get(name, clipped)


@needs_data
def test_invalid_moments_of_evaluation_splits_stay():
    faults = read_annotations("charades_cd", Path(DATA) / "charades_cd").faults
    beyond = [f for f in faults if f.kind == "moment wholly beyond the video"]
    assert [f.where for f in beyond] == ["test_ood LEOL6#0", "test_ood AKKWU#0", "test_ood AKKWU#1"]
    assert {f.repair for f in beyond} == {"kept; counts as a miss"}
    faults = read_annotations("activitynet_cd", Path(DATA) / "activitynet_cd").faults
    kept = Counter(f.kind for f in faults if f.repair == "kept; counts as a miss")
    assert kept == {"inverted moment": 2, "zero-length moment": 2}


@needs_data
def test_annotators_of_didemo():
    read = read_annotations("didemo", Path(DATA) / "didemo")
    counts = {s: Counter(len(r.moments) for r in rs) for s, rs in read.splits.items()}
    assert counts == {"val": {4: 4165, 7: 15}, "test": {4: 4009, 5: 1, 7: 11}}


@needs_data
def test_several_windows_of_qvhighlights():
    path = Path(DATA) / "golden/moment_detr_qvhighlights/highlight_val_release.jsonl"
    (queries,) = read_annotations("jsonl", path).splits.values()
    assert (len(queries), sum(len(q.moments) for q in queries)) == (1550, 2803)


@needs_data
def test_ratings_of_qvhighlights():
    read = read_annotations("qvhighlights", Path(DATA) / "golden/moment_detr_qvhighlights")
    counts = {split: (len(r), sum(len(q.moments) for q in r)) for split, r in read.splits.items()}
    assert counts == {"val": (1550, 2803), "test": (1542, 2761)}
    shapes = {
        (len(q.saliency) * 2 == read.durations[q.video_id], q.saliency.shape[1])
        for records in read.splits.values()
        for q in records
    }
    assert shapes == {(True, 3)}


def test_unknown_names_and_places(tmp_path):
    with pytest.raises(
        ValueError, match="unknown dataset 'charade'; known are " + ", ".join(READERS)
    ):
        read_annotations("charade", tmp_path)
    with pytest.raises(
        FileNotFoundError, match="nowhere does not exist: give the directory of tvr"
    ):
        read_annotations("tvr", tmp_path / "nowhere")
