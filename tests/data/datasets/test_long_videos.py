"""TACoS, Ego4D NLQ, MAD, YouCook2 and TimeLens-Bench in their official forms."""

import json

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations
from vmr_jax.evaluation.score import score_files


def write(folder, name, content):
    """One JSON file."""
    (folder / name).write_text(json.dumps(content))


def moments(read, split):
    """The moments of a split by query id."""
    return {record.query_id: record.moments.tolist() for record in read.splits[split]}


def test_tacos_counts_frames(tmp_path):
    entry = {"timestamps": [[50, 100], [0, 400]], "sentences": ["He cuts.", " He eats "]}
    write(tmp_path, "train.json", {"s1.avi": entry | {"fps": 25.0, "num_frames": 300}})
    read = read_annotations("tacos", tmp_path)
    assert moments(read, "train") == {"s1.avi#0": [[2, 4]], "s1.avi#1": [[0, 12]]}
    assert read.durations == {"s1.avi": 12.0} and read.splits["train"][1].sentence == "He eats"
    assert ("moment ends beyond the video", "train s1.avi#1") in [f[:2] for f in read.faults]
    write(tmp_path, "train.json", {"s1.avi": entry | {"fps": 0, "num_frames": 300}})
    with pytest.raises(ValueError, match='s1.avi: "fps" is 0.0; expected a positive number'):
        read_annotations("tacos", tmp_path)


@pytest.mark.parametrize("of", ["activitynet", "charades", "qvhighlights"])
def test_timelens_is_one_test_split(tmp_path, of):
    entry = {"duration": 30.5, "spans": [[1, 2.5]], "queries": ["a dog runs"]}
    write(tmp_path, f"{of}-timelens.json", {"v": entry})
    read = read_annotations(f"{of}_timelens", tmp_path)
    assert moments(read, "test") == {"v#0": [[1, 2.5]]} and read.durations == {"v": 30.5}
    write(tmp_path, f"{of}-timelens.json", {"v": entry | {"queries": []}})
    with pytest.raises(ValueError, match="v: 1 spans, but 0 queries"):
        read_annotations(f"{of}_timelens", tmp_path)


def ego4d(*queries, start=600, end=1080.5):
    """An NLQ file of one clip and annotation."""
    annotations = [{"annotation_uid": "a-1", "language_queries": list(queries)}]
    clip = {"clip_uid": "c-1", "video_start_sec": start, "video_end_sec": end}
    return {"videos": [{"video_uid": "v", "clips": [clip | {"annotations": annotations}]}]}


def test_ego4d_times_are_of_the_clip(tmp_path):
    of_clip = {"query": "Where is it?", "clip_start_sec": 7.5, "clip_end_sec": 12}
    of_clip |= {"video_start_sec": 607.5, "video_end_sec": 612}
    of_camera = {"query": "What?", "video_start_sec": 610, "video_end_sec": 615.5}
    wordless = {"query": None, "clip_start_sec": 1, "clip_end_sec": 2}
    write(tmp_path, "nlq_train.json", ego4d(of_clip, wordless, {}, of_camera))
    write(tmp_path, "nlq_test_unannotated.json", ego4d({"query": "Who?"}))
    read = read_annotations("ego4d_nlq", tmp_path)
    assert moments(read, "train") == {"a-1_0": [[7.5, 12]], "a-1_3": [[10, 15.5]]}
    assert moments(read, "test") == {"a-1_0": []}
    assert read.durations == {"c-1": 480.5}
    left_out = [fault for fault in read.faults if fault.kind == "query without words"]
    assert [fault.where for fault in left_out] == ["train a-1_1", "train a-1_2"]
    write(tmp_path, "nlq_train.json", ego4d({"query": 3}))
    with pytest.raises(ValueError, match='nlq_train.json: video 0: "query" is a whole number'):
        read_annotations("ego4d_nlq", tmp_path)


def test_mad_has_a_movie_a_query(tmp_path):
    entry = {"movie": "10142", "sentence": "She nods. ", "movie_duration": 7200.5}
    entry |= {"timestamps": [99, 100], "ext_timestamps": [98.5, 101]}
    write(tmp_path, "MAD_test.json", {"17": entry})
    read = read_annotations("mad", tmp_path)
    assert moments(read, "test") == {"17": [[98.5, 101]]} and read.durations == {"10142": 7200.5}
    assert read.splits["test"][0].sentence == "She nods."
    write(tmp_path, "MAD_test.json", {"17": {k: v for k, v in entry.items() if k[0] != "e"}})
    with pytest.raises(ValueError, match='MAD_test.json: 17: no "ext_timestamps"'):
        read_annotations("mad", tmp_path)


def youcook2(subset, *steps):
    """One video of YouCook2."""
    return {"subset": subset, "duration": 100, "annotations": list(steps)}


def test_youcook2_holds_both_splits(tmp_path):
    step = {"id": 0, "segment": [5, 20], "sentence": "chop the onion"}
    database = {"v1": youcook2("training", step, step | {"id": 1, "segment": [30, 35]})}
    database |= {"v2": youcook2("validation", step)}
    write(tmp_path, "youcookii_annotations_trainval.json", {"database": database})
    read = read_annotations("youcook2", tmp_path)
    assert moments(read, "train") == {"v1#0": [[5, 20]], "v1#1": [[30, 35]]}
    assert moments(read, "val") == {"v2#0": [[5, 20]]}
    database["v2"]["subset"] = "testing"
    write(tmp_path, "youcookii_annotations_trainval.json", {"database": database})
    with pytest.raises(ValueError, match="v2: \"subset\" is 'testing'; expected training or val"):
        read_annotations("youcook2", tmp_path)
    with pytest.raises(FileNotFoundError, match="looked for youcookii_annotations_trainval.json"):
        read_annotations("youcook2", tmp_path / "..")


def test_an_hour_long_video_is_scored_beside_both_baselines(tmp_path):
    query = {"query": "Where is it?", "clip_start_sec": 0, "clip_end_sec": 300}
    write(tmp_path, "nlq_train.json", ego4d(query, query, start=0, end=3600))
    write(tmp_path, "nlq_val.json", ego4d(query, start=0, end=3600))
    predicted = tmp_path / "predictions.jsonl"
    rows = [[0, 290, 0.9], [100, 3600, 0.8]]
    predicted.write_text(json.dumps({"qid": "a-1_0", "pred_relevant_windows": rows}))
    report = score_files(predicted, tmp_path, "ego4d_nlq", "val").values
    assert report["model"]["R@1,IoU=0.7"] == 100
    assert report["location_prior"]["R@1,IoU=0.7"] == 100  # all training moments lie there
    assert np.isfinite(report["random"]["mIoU"])
