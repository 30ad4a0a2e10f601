"""NDCG of graded moments: worked examples, plain loops, and the command on files of its form."""

import json
import math

import numpy as np
import pytest

from tests.command_line import vmr
from vmr_jax.metrics.graded_moments import NAMES, RANKS, THRESHOLDS, ndcg_metrics, random_ndcg


def iou(one, other):
    shared = max(0.0, min(one[1], other[1]) - max(one[0], other[0]))
    union = one[1] - one[0] + other[1] - other[0] - shared
    return shared / union if union > 0 else 0.0


def by_loops(rows, true, k, threshold):
    """The metric of one query, as it is written down."""
    left = sorted(true, key=lambda moment: -moment[3])
    ideal = sum((2 ** one[3] - 1) / math.log2(i + 2) for i, one in enumerate(left[:k]))
    gained = 0.0
    for rank, (video, start, end, _) in enumerate(rows[:k]):
        same = [one for one in left if one[0] == video]
        if same:
            best = max(same, key=lambda one: iou((start, end), one[1:3]))
            if iou((start, end), best[1:3]) > threshold:
                gained += (2 ** best[3] - 1) / math.log2(rank + 2)
                left.remove(best)
    return gained / ideal if ideal else 0.0


def test_equals_plain_loops():
    rng = np.random.default_rng(0)
    predictions, relevant = [], []
    for count in (0, 1, 5, 30, 60):
        starts = rng.integers(0, 20, (count, 1))
        ends = starts + rng.integers(1, 9, (count, 1))
        video, grades = rng.integers(0, 4, (count, 1)), rng.choice([0, 1.5, 2, 3, 4], (count, 1))
        relevant.append(np.hstack([video, starts, ends, grades]).astype(float))
        starts = rng.integers(0, 20, (50, 1))
        rows = [rng.integers(0, 5, (50, 1)), starts, starts + rng.integers(1, 9, (50, 1))]
        predictions.append(np.hstack([*rows, np.zeros((50, 1))]).astype(float))
    found = ndcg_metrics(predictions, relevant)
    assert tuple(found) == NAMES
    for k in RANKS:
        for threshold in THRESHOLDS:
            wanted = [
                by_loops(rows.tolist(), true.tolist(), k, threshold)
                for rows, true in zip(predictions, relevant, strict=True)
            ]
            np.testing.assert_allclose(found[f"NDCG@{k},IoU={threshold:g}"], wanted, atol=1e-12)


def test_worked_examples():
    true = np.array([[0, 0, 10, 4.0], [1, 0, 10, 1.0]])
    perfect = np.array([[0, 0, 10, 0.9], [1, 0, 10, 0.8]])
    assert all((own == 1).all() for own in ndcg_metrics([perfect], [true]).values())
    found = ndcg_metrics([perfect[[0, 0]]], [true])["NDCG@10,IoU=0.5"]
    assert found == pytest.approx(15 / (15 + 1 / math.log2(3)))  # a moment is taken once
    half = np.array([[0, 0, 5, 1.0]])
    assert ndcg_metrics([half], [true])["NDCG@10,IoU=0.5"] == 0  # 0.5 is not above 0.5
    assert ndcg_metrics([half], [true])["NDCG@10,IoU=0.3"] > 0
    assert ndcg_metrics([perfect], [true * [1, 1, 1, 0]])["NDCG@10,IoU=0.3"] == 0
    with pytest.raises(ValueError, match="1 prediction lists for 2 queries"):
        ndcg_metrics([perfect], [true, true])


def test_random_moments_of_one_video():
    found = random_ndcg([10.0], [np.array([[0, 0, 10, 4.0]])] * 50)
    # 40 draws nearly always hold one with IoU above 0.3; the first of them is early.
    assert 0.7 < found["NDCG@40,IoU=0.3"].mean() < 1
    assert found["NDCG@40,IoU=0.7"].mean() < found["NDCG@40,IoU=0.3"].mean()


def moment(video, grade, *times):
    return {"video_name": video, "timestamp": times, "relevance": grade, "similarity": 0.5}


@pytest.fixture
def folder(tmp_path):
    queries = [
        {"query_id": 7, "query": "a dog", "relevant_moment": [moment("v1", 4, 0, 10)]},
        {"query_id": 8, "query": "a cat", "relevant_moment": [moment("v2", 2.5, 3, 9)]},
    ]
    (tmp_path / "val.json").write_text(json.dumps(queries))
    (tmp_path / "video_corpus.json").write_text(json.dumps({"v1": 20, "v2": 30.5}))
    return tmp_path


def submission(folder, *entries, task="VCMR"):
    path = folder / "submission.json"
    path.write_text(json.dumps({"video2idx": {"v1": 5, "v2": 3, "v9": 4}, task: list(entries)}))
    return path


def entry(query, *rows):
    return {"desc_id": query, "desc": "", "predictions": [list(row) for row in rows]}


def test_the_command(folder, tmp_path):
    path = submission(folder, entry(7, (4, 0, 10, 0.9), (5, 0, 10, 0.8)))
    out = tmp_path / "report.json"
    done = vmr("score", path, folder, "--dataset", "tvr_ranking", "--json", out)
    assert done.exit_code == 0, done.output
    assert "VCMR: 1 of 2 queries have no prediction: they have 0" in done.output
    report = json.loads(out.read_text())
    assert report["model"]["NDCG@20,IoU=0.7"] == pytest.approx(100 / math.log2(3) / 2)
    assert (report["queries"], report["videos"], report["missing"]) == (2, 2, {"VCMR": 1})
    assert set(report["intervals"]) == {"model", "random"}
    done = vmr("score", path, folder, "--dataset", "tvr_ranking", "--by")
    assert "--by does not apply" in str(done.exception)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: submission(f, task="VR"), "has no task VCMR, which is scored here"),
        (lambda f: submission(f, entry(9, (5, 0, 1, 1))), "1 predicted ids that the labels of val"),
        (lambda f: (f / "video_corpus.json").unlink(), "video_corpus.json is missing"),
        (lambda f: (f / "video_corpus.json").write_text("{}"), "v1 is not in video_corpus.json"),
        (lambda f: (f / "val.json").write_text("[]"), "val.json has no queries"),
        (lambda f: (f / "val.json").unlink(), "looked for val.json, test.json"),
    ],
)
def test_what_cannot_be_scored_is_told(folder, change, message):
    path = submission(folder, entry(7, (5, 0, 10, 0.9)))
    change(folder)
    done = vmr("score", path, folder, "--dataset", "tvr_ranking")
    assert isinstance(done.exception, (ValueError, FileNotFoundError))
    assert message in str(done.exception)
