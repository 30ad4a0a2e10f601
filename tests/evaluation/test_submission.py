"""Submission files: what is written, the way back, and every refusal."""

import json

import numpy as np
import pytest

from vmr_jax.evaluation.submission import is_submission, read_submission, write_submission

ROWS = [(1, 0, 4.5, 0.9), (0, 1.5, 3, 0.8)]
ENTRY = {"desc_id": 5, "desc": "a cat", "predictions": [[0, 1, 2, 0.5]]}
GOOD = {"video2idx": {"a": 0, "b": 7}, "VCMR": [ENTRY]}


def write(tmp_path, value):
    """Write a submission's JSON."""
    path = tmp_path / "submission.json"
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path


def test_format_and_the_way_back(tmp_path):
    path = tmp_path / "submission.json"
    tasks = {"VCMR": [ROWS, []], "VR": [ROWS[:1], ROWS]}
    write_submission(path, ["a", "b"], ["12", "x1"], ["a cat", "ein Hündchen"], tasks)
    found = json.loads(path.read_text())
    assert found["video2idx"] == {"a": 0, "b": 1} and list(found) == ["video2idx", "VCMR", "VR"]
    assert found["VCMR"] == [
        {"desc_id": 12, "desc": "a cat", "predictions": [list(row) for row in ROWS]},
        {"desc_id": "x1", "desc": "ein Hündchen", "predictions": []},
    ]
    assert isinstance(found["VCMR"][0]["predictions"][0][0], int)
    assert is_submission(path)
    back = read_submission(path)
    assert back.video_index == {"a": 0, "b": 1} and list(back.tasks) == ["VR", "VCMR"]
    assert back.tasks["VCMR"]["12"].tolist() == [list(row) for row in ROWS]
    assert back.tasks["VCMR"]["x1"].shape == (0, 4)


def test_at_most_a_hundred_and_no_padding(tmp_path):
    path = tmp_path / "submission.json"
    rows = [
        (0, 0, 1, np.nan),
        (-1, 0, 0, 0),
        (1, 0, 2, -np.inf),
        *[(1, i, i + 1, 0) for i in range(120)],
    ]
    write_submission(path, ["a", "b"], ["1"], ["a"], {"VCMR": [rows]})
    assert read_submission(path).tasks["VCMR"]["1"][:, 1].tolist() == list(range(100))
    write_submission(path, ["a", "b"], ["1"], ["a"], {"VCMR": [rows[:5]]})
    assert read_submission(path).tasks["VCMR"]["1"][:, 2].tolist() == [1, 2, 1]  # NaN comes last


@pytest.mark.parametrize(
    ("videos", "queries", "tasks", "message"),
    [
        (["a", "a"], ["1"], {"VR": [ROWS]}, "1 video ids come twice"),
        (["a", "b"], ["1"], {"AB": [ROWS]}, "unknown task 'AB'; known are VR, SVMR, VCMR"),
        (["a", "b"], ["1"], {"VR": [ROWS] * 2}, "2 prediction lists of VR for 1 queries"),
        (["a"], ["1"], {"VR": [ROWS]}, "VR of query 1 names the video 1, but the corpus has 1"),
    ],
)
def test_refusals_of_writing(tmp_path, videos, queries, tasks, message):
    path = tmp_path / "submission.json"
    with pytest.raises(ValueError, match=message):
        write_submission(path, videos, queries, ["a"] * len(queries), tasks)
    with pytest.raises(ValueError, match="0 sentences for 1 queries"):
        write_submission(path, ["a", "b"], ["1"], [], {"VR": [ROWS]})
    assert not path.exists()


def test_a_submission_is_told_by_its_first_key(tmp_path):
    assert is_submission(write(tmp_path, GOOD))
    assert is_submission(write(tmp_path, '\n{\n  "VR" : []'))
    marked = write(tmp_path, "\ufeff" + json.dumps(GOOD))
    assert is_submission(marked)
    assert read_submission(marked).video_index == read_submission(write(tmp_path, GOOD)).video_index
    assert not is_submission(write(tmp_path, {"qid": 1, "pred_relevant_windows": []}))
    assert not is_submission(write(tmp_path, ""))
    assert not is_submission(tmp_path / "none.json")


def test_unknown_fields_are_ignored(tmp_path):
    value = GOOD | {"notes": 1, "SVMR": [ENTRY | {"type": "v", "desc_id": "5"}]}
    assert list(read_submission(write(tmp_path, value)).tasks) == ["SVMR", "VCMR"]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ('{"video2idx"', "submission.json: not valid JSON"),
        ([], "expected one JSON object"),
        ({"VR": []}, '"video2idx" must map video ids to indices'),
        (GOOD | {"video2idx": {"a": 1.5}}, "the index of a is 1.5; it must be a whole number"),
        (GOOD | {"video2idx": {"a": True}}, "the index of a is true; it must be a whole number"),
        (GOOD | {"video2idx": {"a": -1}}, "the index of a is -1; it must be a whole number from 0"),
        (GOOD | {"video2idx": {"a": 3, "b": 3}}, "a and b have the same index 3"),
        ({"video2idx": {"a": 0}, "x": 1}, "none of VR, SVMR, VCMR; found video2idx, x"),
        (GOOD | {"VR": {}}, "VR: expected a list of queries"),
        (GOOD | {"VR": [1]}, 'VR, entry 0: needs "desc_id" and "predictions"'),
        (GOOD | {"VR": [{"desc_id": 1}]}, 'VR, entry 0: needs "desc_id" and "predictions"'),
        (GOOD | {"VR": [ENTRY | {"desc_id": 1.5}]}, "entry 0: desc_id 1.5 is neither a whole"),
        (GOOD | {"VR": [ENTRY, ENTRY | {"desc_id": "5"}]}, "entry 1: desc_id 5 was already given"),
        (GOOD | {"VR": [ENTRY | {"predictions": {}}]}, 'desc_id 5: "predictions" is not a list'),
        (GOOD | {"VR": [ENTRY | {"predictions": [[0, 1, 2]]}]}, r"found \[0, 1, 2\]"),
        (GOOD | {"VR": [ENTRY | {"predictions": [[0, 1, 2, "3"]]}]}, r'found \[0, 1, 2, "3"\]'),
        (GOOD | {"VR": [ENTRY | {"predictions": [[0, 1, 2, 3], [0, True, 2, 3]]}]}, "0, true, 2"),
        (GOOD | {"VR": [ENTRY | {"predictions": [[0, 1, 2, 3], 4]}]}, "found 4$"),
        (GOOD | {"VR": [ENTRY | {"predictions": [[5, 1, 2, 3]]}]}, "no video with the index 5"),
        (
            GOOD | {"VR": [ENTRY | {"predictions": [[0, 1, 10**400, 3]]}]},
            "5: a number is too large",
        ),
        ("[" * 100_000, r"submission.json: not valid JSON \(maximum recursion depth"),
    ],
)
def test_refusals_of_reading(tmp_path, value, message):
    with pytest.raises(ValueError, match=message):
        read_submission(write(tmp_path, value))


def test_no_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no predictions at"):
        read_submission(tmp_path / "none.json")
