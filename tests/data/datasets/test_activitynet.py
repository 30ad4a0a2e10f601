"""Annotations grouped by video."""

import json

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations

VIDEOS = {
    "v_a": {
        "duration": 20,
        "timestamps": [[0, 5.5], [3, 21]],
        "sentences": [" A dog\nruns. ", "It stops."],
    },
    "v_b": {"duration": 9.5, "timestamps": [[1, 2]], "sentences": ["Someone sings."]},
}


def test_queries_are_numbered_within_their_video(tmp_path):
    (tmp_path / "val_1.json").write_text(json.dumps(VIDEOS))
    read = read_annotations("activitynet_captions", tmp_path)
    assert [(r.query_id, r.video_id, r.sentence) for r in read.splits["val_1"]] == [
        ("v_a#0", "v_a", "A dog\nruns."),
        ("v_a#1", "v_a", "It stops."),
        ("v_b#0", "v_b", "Someone sings."),
    ]
    np.testing.assert_array_equal(read.splits["val_1"][1].moments, [[3, 20]])
    assert read.durations == {"v_a": 20.0, "v_b": 9.5}
    assert {f.where for f in read.faults if f.kind == "no file for a split"} == {
        "train (train.json)",
        "val_2 (val_2.json)",
    }


def test_2d_tan_names_of_activitynet(tmp_path):
    for name in ("train", "val", "test"):
        (tmp_path / f"{name}.json").write_text(json.dumps(VIDEOS))
    assert list(read_annotations("activitynet_captions", tmp_path).splits) == [
        "train",
        "val_1",
        "val_2",
    ]


@pytest.mark.parametrize("name", ["anet_train.json", "anet_train.derived.json"])
def test_both_train_files_of_activitynet_cd(tmp_path, name):
    (tmp_path / name).write_text(json.dumps(VIDEOS))
    assert list(read_annotations("activitynet_cd", tmp_path).splits) == ["train"]


def test_charades_cd_keeps_the_duration_under_another_key(tmp_path):
    videos = {"A": {"video_duration": 4.5, "timestamps": [[0, 1]], "sentences": ["x"]}}
    (tmp_path / "charades_test_ood.json").write_text(json.dumps(videos))
    assert read_annotations("charades_cd", tmp_path).durations == {"A": 4.5}


def test_a_videos_second_duration_is_reported(tmp_path):
    (tmp_path / "train.json").write_text(json.dumps(VIDEOS))
    other = {"v_a": VIDEOS["v_a"] | {"duration": 30}}
    (tmp_path / "novel_word.json").write_text(json.dumps(other))
    read = read_annotations("charades_cg", tmp_path)
    assert read.durations["v_a"] == 20
    assert ("two durations for one video", "novel_word v_a", "the first is used") in read.faults


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sentences": ["one"]}, "v_a: 2 timestamps, but 1 sentences"),
        ({"timestamps": [[0], [3, 4]]}, r"v_a, moment 0: expected \[start, end\]"),
        ({"duration": "20"}, 'v_a: "duration" is a string; expected a number'),
        ({"sentences": ["one", None]}, "v_a, sentence 1: expected a string, found null"),
    ],
)
def test_errors_name_the_video(tmp_path, change, message):
    (tmp_path / "train.json").write_text(json.dumps({"v_a": VIDEOS["v_a"] | change}))
    with pytest.raises(ValueError, match=f"train.json: {message}"):
        read_annotations("charades_cg", tmp_path)
