"""DiDeMo."""

import json

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations

QUERY = {
    "annotation_id": 7,
    "video": "1@N01_22_ab.mov",
    "description": " the cat jumps",
    "times": [[0, 0], [0, 1], [5, 5], [0, 0]],
    "num_segments": 6,
}


def write(directory, queries):
    (directory / "val_data.json").write_text(json.dumps(queries))


def test_chunks_become_seconds(tmp_path):
    write(tmp_path, [QUERY])
    read = read_annotations("didemo", tmp_path)
    (query,) = read.splits["val"]
    assert (query.query_id, query.video_id, query.sentence) == ("7", "1@N01_22_ab", "the cat jumps")
    np.testing.assert_array_equal(query.moments, [[0, 5], [0, 10], [25, 30], [0, 5]])
    assert read.durations == {"1@N01_22_ab": 30.0}


def test_two_files_of_one_video_are_one_video(tmp_path):
    names = ("1@N01_22_ab.mov", "1@N01_22_ab.mp4", "1@N01_22_ab.")
    write(tmp_path, [QUERY | {"annotation_id": i, "video": v} for i, v in enumerate(names)])
    assert list(read_annotations("didemo", tmp_path).durations) == ["1@N01_22_ab"]


def test_a_file_name_without_an_extension_is_the_video(tmp_path):
    write(tmp_path, [QUERY | {"video": "1@N01_22_ab"}])
    assert list(read_annotations("didemo", tmp_path).durations) == ["1@N01_22_ab"]


def test_a_video_without_chunks_is_a_fault(tmp_path):
    write(tmp_path, [QUERY | {"num_segments": 0}])
    faults = read_annotations("didemo", tmp_path).faults
    assert ("duration is not a positive number", "val 7", "") in faults


def test_the_larger_number_of_chunks_is_used(tmp_path):
    shorter = QUERY | {"annotation_id": 8, "num_segments": 5, "times": [[0, 0]]}
    write(tmp_path, [shorter, QUERY])
    read = read_annotations("didemo", tmp_path)
    assert read.durations == {"1@N01_22_ab": 30.0}
    assert [f.where for f in read.faults if f.kind == "two durations for one video"] == ["val 7"]
    np.testing.assert_array_equal(read.splits["val"][1].moments[2], [25, 30])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"times": [[0]]}, r"val_data.json: record 0: expected \[start, end\]"),
        ({"num_segments": 5.5}, 'record 0: "num_segments" is a number; expected a whole number'),
    ],
)
def test_errors_name_the_record(tmp_path, change, message):
    write(tmp_path, [QUERY | change])
    with pytest.raises(ValueError, match=message):
        read_annotations("didemo", tmp_path)
