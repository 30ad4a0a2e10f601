"""`vmr audit`: duplicates, agreement, blind guesses."""

import json

import pytest

from tests.evaluation.score_cases import values_and_text
from vmr_jax.evaluation.audit import audit_files


def lines(folder, name, *queries):
    """One split of (qid, sentence, video) in the community's format, moments at the start."""
    rows = [
        {"qid": q, "query": words, "vid": v, "duration": 20, "relevant_windows": [[0, 10]]}
        for q, words, v in queries
    ]
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_duplicates_and_blind_guesses(tmp_path):
    lines(tmp_path, "train", (1, "A dog runs.", "u"), (2, "a dog runs", "u"), (3, "He sings", "v"))
    lines(tmp_path, "test", (4, "a dog  runs!", "u"), (5, "a dog runs", "w"), (6, "She sits", "v"))
    report, text = values_and_text(audit_files(tmp_path, "jsonl"))
    assert report["splits"]["train"] == {
        "queries": 3,
        "videos": 2,
        "sentences": 2,
        "repeated": 1,
    }
    assert report["between"] == {"test and train": {"videos": 2, "sentences": 1, "pairs": 1}}
    assert list(report["blind"]) == ["test"]
    assert report["blind"]["test"]["location_prior"]["R@1,IoU=0.7"] == 100
    assert report["blind"]["test"]["random"]["R@1,IoU=0.7"] < 50
    assert report["agreement"] == {}
    assert "test and train" in text and "won without video and query" in text


def test_didemos_annotators_are_scored_against_each_other(tmp_path):
    entry = {"annotation_id": 1, "video": "v.mov", "description": "a cat", "num_segments": 6}
    entry["times"] = [[0, 0], [0, 0], [3, 3], [3, 4]]
    (tmp_path / "test_data.json").write_text(json.dumps([entry]))
    agreed = audit_files(tmp_path, "didemo").values["agreement"]["test"]
    assert agreed["R@1,IoU=0.7"] == 50 and agreed["R@1,IoU=0.5"] == 100
    assert agreed["mIoU"] == pytest.approx(75)


def test_raters_are_scored_against_each_other(tmp_path):
    row = {"qid": 1, "query": "a", "vid": "v", "duration": 6, "relevant_windows": [[0, 2]]}
    row |= {"relevant_clip_ids": [0, 1], "saliency_scores": [[4, 4, 0], [0, 0, 4]]}
    (tmp_path / "highlight_val_release.jsonl").write_text(json.dumps(row))
    report, text = values_and_text(audit_files(tmp_path, "qvhighlights"))
    agreed = report["agreement"]["val"]
    # Two raters of three agree: each hits with one of the others, the third with none.
    assert agreed["HL-min-Good-Hit1"] == pytest.approx(200 / 3)
    assert 0 < agreed["HL-min-Good-mAP"] < 100
    assert "one annotator as a prediction of the others" in text
