"""TVR."""

import json

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations


def write_lines(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


@pytest.fixture
def directory(tmp_path):
    query = {"vid_name": "show_1", "duration": 60.5, "type": "v"}
    write_lines(
        tmp_path / "tvr_val_release.jsonl",
        [
            query | {"ts": [0, 2.5], "desc": "Someone waves. ", "desc_id": 90},
            query | {"ts": [3.5, 9], "desc": "Someone sits.", "desc_id": 91},
        ],
    )
    write_lines(
        tmp_path / "tvr_test_public_release.jsonl", [{"desc": "A door shuts.", "desc_id": 92}]
    )
    index = {
        "train": {"show_9": [10.0, 3]},
        "val": {"show_1": [60.5, 0], "show_2": [61, 1]},
        "test_public": {"show_3": [62.5, 2]},
    }
    (tmp_path / "tvr_video2dur_idx.json").write_text(json.dumps(index))
    return tmp_path


def test_read(directory):
    read = read_annotations("tvr", directory)
    first, second = read.splits["val"]
    assert (first.query_id, first.video_id, first.sentence) == ("90", "show_1", "Someone waves.")
    assert (first.modality, second.modality) == ("v", "v")
    np.testing.assert_array_equal(second.moments, [[3.5, 9]])
    (hidden,) = read.splits["test_public"]
    assert hidden.modality == "" and hidden.video_id == "" and hidden.moments.shape == (0, 2)


def test_the_corpus_is_every_video_of_the_splits_that_are_there(directory):
    assert list(read_annotations("tvr", directory).durations) == ["show_1", "show_2", "show_3"]


def test_subtitles(directory):
    assert ("no subtitles", "tvqa_preprocessed_subtitles.jsonl", "read without") in (
        read_annotations("tvr", directory).faults
    )
    line = {"text": "( Ross : ) Hi. ", "start": 1.5, "end": 2}
    write_lines(
        directory / "tvqa_preprocessed_subtitles.jsonl",
        [{"vid_name": "show_1", "sub": [line]}, {"vid_name": "unused", "sub": []}],
    )
    subtitles = read_annotations("tvr", directory).subtitles
    assert subtitles == {"show_1": [(1.5, 2.0, "( Ross : ) Hi.")]}


def test_errors(directory):
    write_lines(directory / "tvr_val_release.jsonl", [{"vid_name": "show_1", "desc_id": 1}])
    with pytest.raises(ValueError, match=r'tvr_val_release.jsonl:1: no "ts"; found vid_name'):
        read_annotations("tvr", directory)
    write_lines(
        directory / "tvr_val_release.jsonl", [{"ts": [0, 1], "desc_id": 1, "desc": "Someone sits."}]
    )
    with pytest.raises(ValueError, match=r'tvr_val_release.jsonl:1: no "vid_name"; found ts'):
        read_annotations("tvr", directory)
    (directory / "tvr_video2dur_idx.json").write_text('{"val": {"show_1": [true, 0]}}')
    with pytest.raises(ValueError, match=r"show_1: expected \[duration, index\]"):
        read_annotations("tvr", directory)
    (directory / "tvr_video2dur_idx.json").write_text('{"val": {"show_1": 3}, "test_public": {}}')
    with pytest.raises(ValueError, match=r"idx.json: show_1: expected \[duration, index\]"):
        read_annotations("tvr", directory)
    (directory / "tvr_video2dur_idx.json").unlink()
    with pytest.raises(FileNotFoundError, match="idx.json is missing: it holds the durations"):
        read_annotations("tvr", directory)
