"""`vmr score --by` and `--figures`: groups of queries, and what the pictures show."""

import json

import numpy as np
import pytest

from tests.evaluation.score_cases import values_and_text
from vmr_jax.evaluation.breakdown import breakdown, groups_of, spacy_tagger
from vmr_jax.evaluation.labels import read_labels
from vmr_jax.evaluation.score import score_files
from vmr_jax.plots.score_figures import score_content

ASKED = [  # sentence, duration, windows
    ("a man opens a door", 30, [[0, 5]]),
    ("a man opens a window and then he closes it again", 60, [[20, 40]]),
    ("the dog runs", 90, [[70, 85], [86, 88]]),
    ("a man runs", 300, [[10, 90]]),
]


def files(tmp_path, windows):
    """A training and a test split of a jsonl dataset, and predictions of the test split."""
    folder = tmp_path / "labels"
    folder.mkdir()
    lines = [
        {"qid": i, "query": words, "vid": f"v{i}", "duration": d, "relevant_windows": true}
        for i, (words, d, true) in enumerate(ASKED)
    ]
    train = lines[0] | {"query": "A man opens the door; he closes a window and it, then again."}
    for name, own in (("train", [train]), ("test", lines)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in own))
    predicted = tmp_path / "predictions.jsonl"
    rows = [{"qid": i, "pred_relevant_windows": own} for i, own in enumerate(windows)]
    predicted.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return predicted, folder


def members(groups):
    """The queries of each group."""
    return {name: np.flatnonzero(rows).tolist() for name, rows in groups.items()}


def test_groups(tmp_path):
    _, folder = files(tmp_path, [])
    found = groups_of(read_labels(folder, split="test"))
    assert members(found["moment length"]) == {
        "to 5 s": [0],
        "to 10 s": [2],  # the mean of 15 s and 2 s
        "to 30 s": [1],
        "above 60 s": [3],
    }
    assert members(found["position"]) == {"first third": [0, 3], "middle": [1], "last": [2]}
    assert members(found["video length"]) == {
        "to 30 s": [0],
        "to 60 s": [1],
        "to 180 s": [2],
        "to 600 s": [3],
    }
    assert members(found["query length"])["to 5 words"] == [0, 2, 3]
    assert members(found["windows"]) == {"1": [0, 1, 3], "2": [2]}
    assert members(found["training words"]) == {"all seen": [0, 1], "one or more unseen": [2, 3]}


def test_what_tvrs_queries_are_about(tmp_path):
    _, folder = files(tmp_path, [])
    labels = read_labels(folder, split="test")
    kinds = ("v", "vt", "", "v")
    told = [one._replace(modality=k) for one, k in zip(labels.records, kinds, strict=True)]
    found = groups_of(labels._replace(records=told))
    assert members(found["about"]) == {"video": [0, 3], "both": [1]}
    assert "about" not in groups_of(labels)


def test_verbs_and_nouns_where_they_are_found(tmp_path):
    _, folder = files(tmp_path, [])
    verbs = {"opens": "open", "closes": "close", "runs": "run"}

    def tag(sentences):
        return [[(verbs[w], "VERB") for w in s.split() if w in verbs] for s in sentences]

    found = groups_of(read_labels(folder, split="test"), tag)
    assert members(found["verb"]) == {"open": [0, 1], "run": [2, 3], "close": [1]}
    assert found["noun"] == {}


def test_verbs_and_nouns_by_the_real_model(tmp_path):
    tag = spacy_tagger()
    if tag is None:
        pytest.skip("needs spaCy and its model en_core_web_sm")
    (tagged,) = tag(["The person opens two doors while children are running."])
    assert {("open", "VERB"), ("run", "VERB"), ("door", "NOUN"), ("child", "NOUN")} <= set(tagged)
    _, folder = files(tmp_path, [])
    found = groups_of(read_labels(folder, split="test"), tag)
    assert {"open", "close", "run"} >= set(found["verb"]) and found["verb"]


def test_figures_of_groups():
    groups = {"by": {"a": np.array([True, True, False]), "b": np.array([False, False, True])}}
    values = {"R@1,IoU=0.5": np.array([1.0, 0, 1]), "mIoU": np.array([0.5, 0.1, 0.9])}
    found = breakdown(values, groups, np.array(["u", "v", "w"]))["by"]
    assert found["a"]["R@1,IoU=0.5"] == 50 and found["a"]["queries"] == 2
    assert found["b"]["mIoU"] == pytest.approx(90)
    assert found["b"]["intervals"]["mIoU"] == pytest.approx([90, 90])
    assert found["a"]["intervals"]["R@1,IoU=0.5"] == [0, 100]


def test_the_command_writes_groups_and_pictures(tmp_path):
    windows = [[[0, 5, 0.9]], [[20, 30, 0.6]], [[0, 5, 0.1]], []]
    predicted, folder = files(tmp_path, windows)
    out = tmp_path / "figures"
    report, text = values_and_text(
        score_files(predicted, folder, split="test", by=True, figures=out)
    )
    assert report["by"]["windows"]["2"]["R@1,IoU=0.5"] == 0
    assert report["by"]["moment length"]["to 30 s"]["R@1,IoU=0.5"] == 100
    assert "first third" in text and "recall.png" in text
    for name in ("recall", "boundaries", "calibration", "locations"):
        assert (out / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
        assert json.loads((out / f"{name}.json").read_text())["queries"] == 4
    submission = tmp_path / "submission.json"
    submission.write_text('{"video2idx": {}}')
    with pytest.raises(ValueError, match="is a submission for a corpus: --by does not apply"):
        score_files(submission, folder, split="test", by=True)


def test_contents_of_figures(tmp_path):
    _, folder = files(tmp_path, [])
    labels = read_labels(folder, split="test")
    rows = [[[1, 5, 0.95]], [[20, 40, 0.85]], [[86, 88.5, 0.45]], []]
    found = score_content([np.array(own, float).reshape(-1, 3) for own in rows], labels)
    recall = found["recall"]
    assert recall["R@1"][recall["iou"].index(0.8)] == 75  # IoU 0.8, 1, 0.8, none
    assert recall["R@1"][-1] == 25
    starts = found["boundaries"]["start"]
    assert starts["median_s"] == 0 and sum(starts["counts"]) == 3
    assert found["boundaries"]["end"]["median_absolute_s"] == 0
    calibration = found["calibration"]
    assert calibration["counts"] == [0, 0, 0, 0, 1, 0, 0, 0, 1, 1]
    assert calibration["share_right"][4] == 1 and calibration["share_right"][0] is None
    assert calibration["ece"] == pytest.approx((0.05 + 0.15 + 0.55) / 3)
    locations = found["locations"]
    assert np.sum(locations["predictions"]) == pytest.approx(1)
    assert locations["truths"][0][3] == 1 / 5  # 0 to 5 of 30 s
    assert 0 < locations["common"] < 1
    beyond = score_content([np.array([[1, 5, 7.0]])] * 4, labels)
    assert "calibration" not in beyond
