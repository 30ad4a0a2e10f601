"""`vmr score` of a submission for a corpus: TVR and DiDeMo, and what is said about it."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.evaluation.score_cases import values_and_text
from vmr_jax import cli
from vmr_jax.data.datasets import read_annotations
from vmr_jax.evaluation.score import score_files
from vmr_jax.evaluation.submission import write_submission

REAL = os.environ.get("VMR_DATA_DIR")
INDEX = {"a": 5, "b": 2, "elsewhere": 0}


def tvr(folder, splits=("val",)):
    """A tiny TVR: videos a and b of 60 s; query 1 is about a, 2 and 3 are about b."""
    times = {1: ("a", [0, 10]), 2: ("b", [10, 20]), 3: ("b", [30, 60])}
    index = {}
    for split in splits:
        lines = [
            {"vid_name": video, "duration": 60, "ts": ts, "desc": "x", "type": "v", "desc_id": qid}
            for qid, (video, ts) in times.items()
        ]
        if split == "test_public":
            lines = [{"desc": "x", "desc_id": qid} for qid in times]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"tvr_{split}_release.jsonl").write_text(text)
        index[split] = {"a": [60.0, 0], "b": [60.0, 1]}
    (folder / "tvr_video2dur_idx.json").write_text(json.dumps(index))


def entry(qid, *rows):
    """A query's predictions (video index, start, end), scores falling."""
    rows = [[*row, 1 - place / 1000] for place, row in enumerate(rows)]
    return {"desc_id": qid, "desc": "x", "predictions": rows}


def score(folder, submission, dataset="tvr", split="val", with_map=False):
    """Score a submission; the report and what was printed."""
    path = folder / "submission.json"
    path.write_text(json.dumps({"video2idx": INDEX} | submission))
    return values_and_text(score_files(path, folder, dataset, split, with_map))


def test_report(tmp_path):
    tvr(tmp_path)
    lists = [
        entry(1, (0, 0, 10), (5, 0, 10)),
        entry("2", (2, 10, 20)),
        entry(3, (2, 0, 10), (5, 30, 60), (2, 30, 52)),
    ]
    report, text = score(tmp_path, {"VCMR": lists, "SVMR": lists, "VR": lists})
    head = ("dataset", "split", "queries", "videos", "missing")
    assert {key: report[key] for key in head} == {
        "dataset": "tvr",
        "split": "val",
        "queries": 3,
        "videos": 2,
        "missing": {"VR": 0, "SVMR": 0, "VCMR": 0},
    }
    model = report["model"]
    assert model["VR/R@1"] == pytest.approx(200 / 3) and model["VR/R@5"] == 100
    assert model["VCMR/R@1,IoU=0.5"] == pytest.approx(100 / 3)
    assert model["SVMR/R@1,IoU=0.5"] == pytest.approx(200 / 3)
    assert model["VCMR/R@5,IoU=0.7"] == model["SVMR/R@5,IoU=0.7"] == 100
    assert list(report["random"]) == list(model) and report["random"]["VR/R@1"] == 50
    assert "location_prior" not in report
    assert "submission.json on tvr / val, 2 videos: 3 queries" in text
    assert "VR/SumR" in text and "66.67" in text and "annotators" not in text


def test_one_task_with_a_training_split(tmp_path):
    tvr(tmp_path, ("train", "val"))
    report, _ = score(tmp_path, {"VR": [entry(1, (5, 0, 0))]})
    assert list(report["model"]) == [
        f"VR/{name}" for name in ("R@1", "R@5", "R@10", "R@100", "SumR")
    ]
    for method in ("random", "location_prior"):
        assert list(report[method]) == list(report["model"])


def test_what_is_said(tmp_path):
    tvr(tmp_path)
    late = entry(1, *[(2, 0, 1)] * 100, (5, 0, 10))
    rising = entry(2, (2, 10, 20), (5, 0, 1))
    rising["predictions"][1][3] = 7
    report, text = score(tmp_path, {"VCMR": [late, rising]})
    assert report["model"]["VCMR/R@100,IoU=0.5"] == pytest.approx(100 / 3)
    assert report["model"]["VCMR/R@1,IoU=0.5"] == pytest.approx(100 / 3)
    assert report["missing"] == {"VCMR": 1}
    assert "VCMR: 1 of 3 queries have no prediction: they are misses" in text
    assert "VCMR: 1 of 3 queries have more than 100 predictions: the rest does not count" in text
    assert "VCMR: 1 of 3 queries are not in the order of their scores: the listed order" in text


def test_tvrs_queries_by_type(tmp_path):
    tvr(tmp_path)
    path = tmp_path / "tvr_val_release.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines = [line | {"type": kind} for line, kind in zip(lines, ("v", "vt", "v"), strict=True)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    lists = [entry(1, (5, 0, 10)), entry(2, (2, 10, 20)), entry(3, (5, 0, 1))]
    report, text = score(tmp_path, {"VR": lists, "VCMR": lists})
    found = report["by_type"]
    assert {name: values["queries"] for name, values in found.items()} == {"video": 2, "both": 1}
    assert (found["video"]["VR/R@1"], found["both"]["VR/R@1"]) == (50, 100)
    assert found["both"]["VCMR/R@1,IoU=0.7"] == 100
    assert "by what the queries are about: 2 video, 1 both" in text


def test_videos_that_vr_lists_again_are_said(tmp_path):
    tvr(tmp_path)
    lists = [
        entry(1, (2, 0, 10), (2, 10, 20), (5, 0, 10)),
        entry(2, (2, 0, 1)),
        entry(3, (5, 0, 1)),
    ]
    _, text = score(tmp_path, {"VR": lists, "VCMR": lists})
    said = "VR: 1 of 3 queries list a video again: it takes no place here, and one in TVR's script"
    assert said in text.replace("\n", " ") and text.count("list a video again") == 1


def test_didemo_needs_two_annotators_and_knows_file_names(tmp_path):
    label = {"video": "v.x.mov", "description": "a cat", "num_segments": 6, "annotation_id": 1}
    labels = [label | {"times": [[1, 1], [1, 1], [1, 1], [0, 0]]}]
    (tmp_path / "val_data.json").write_text(json.dumps(labels))
    for name in ("v.x", "v.x.mov", "v.x.mp4"):
        videos = {"video2idx": {name: 3}}
        report, text = score(tmp_path, videos | {"VCMR": [entry(1, (3, 5, 10))]}, "didemo")
        assert report["model"]["VCMR/R@1,IoU=0.7"] == 100
        assert "SVMR, VCMR: a moment must reach the IoU with 2 annotators" in text
    report, _ = score(tmp_path, videos | {"VCMR": [entry(1, (3, 0, 5))]}, "didemo")
    assert report["model"]["VCMR/R@100,IoU=0.5"] == 0


@pytest.mark.parametrize(
    ("submission", "split", "message"),
    [
        ({"VR": [entry(9)]}, "val", "1 predicted ids that the labels of val do not have: 9$"),
        ({"VR": [entry(1)]}, "test", "tvr has no split 'test' here; it has val, test_public"),
        ({"VR": [entry(1)]}, "test_public", "3 queries of test_public whose labels are hidden; "),
        (
            {"VR": [entry(1)], "video2idx": {"a": 0}},
            "val",
            "1 true videos that video2idx does not have: b$",
        ),
    ],
)
def test_refusals(tmp_path, submission, split, message):
    tvr(tmp_path, ("val", "test_public"))
    with pytest.raises(ValueError, match=message):
        score(tmp_path, submission, split=split)


def test_map_does_not_apply(tmp_path):
    tvr(tmp_path)
    with pytest.raises(ValueError, match="is a submission for a corpus: --map does not apply"):
        score(tmp_path, {"VR": [entry(1)]}, with_map=True)


def test_command(tmp_path, monkeypatch, capsys):
    tvr(tmp_path)
    path, out = tmp_path / "submission.json", tmp_path / "report.json"
    path.write_text(json.dumps({"video2idx": INDEX, "VR": [entry(1, (5, 0, 0))]}))
    arguments = ["score", path, tmp_path, "--dataset", "tvr", "--split", "val", "--json", out]
    monkeypatch.setattr(sys, "argv", ["vmr", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 0 and "VR/R@1" in capsys.readouterr().out
    assert json.loads(out.read_text())["model"]["VR/R@1"] == pytest.approx(100 / 3)


@pytest.mark.skipif(not REAL, reason="VMR_DATA_DIR is not set")
@pytest.mark.parametrize(
    ("dataset", "videos", "queries"),
    [
        pytest.param("tvr", 2179, 10_895, marks=pytest.mark.slow),  # a further dataset
        ("didemo", 1065, 4180),
    ],
)
def test_real_labels_as_predictions(tmp_path, dataset, videos, queries):
    annotations = read_annotations(dataset, Path(REAL, dataset))
    records = annotations.splits["val"]
    corpus = list(dict.fromkeys(record.video_id for record in records))
    row = {video: place for place, video in enumerate(corpus)}
    moments = []  # the moment that most annotators marked, after one in another video
    for record in records:
        marked, count = np.unique(record.moments, axis=0, return_counts=True)
        start, end = marked[count.argmax()]
        own = row[record.video_id]
        moments.append([((own + 1) % videos, start, end, 1), (own, start, end, 0.5)])
    path = tmp_path / "submission.json"
    ids, sentences = [r.query_id for r in records], [r.sentence for r in records]
    tasks = dict.fromkeys(("VR", "SVMR", "VCMR"), moments)
    write_submission(path, corpus, ids, sentences, tasks)
    report = score_files(path, Path(REAL, dataset), dataset, "val").values
    assert (report["videos"], report["queries"]) == (videos, queries)
    model = report["model"]
    assert model["VR/R@1"] == 0 and model["VR/R@5"] == 100
    assert model["VCMR/R@1,IoU=0.5"] == 0
    assert model["VCMR/R@5,IoU=0.7"] == model["SVMR/R@1,IoU=0.7"]
    # Two annotators or more agree on a moment of each query of DiDeMo.
    assert model["SVMR/R@1,IoU=0.7"] == 100
    assert report["random"]["VR/R@1"] == pytest.approx(100 / videos)
