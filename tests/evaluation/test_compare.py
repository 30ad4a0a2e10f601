"""`vmr compare`: differences, wins and p of two prediction files."""

import json

import numpy as np
import pytest

from tests.evaluation.score_cases import values_and_text
from vmr_jax.evaluation.compare import compare_files, compare_values


def write(path, lines):
    """A file of JSON lines."""
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def files(tmp_path, first, second, queries=40):
    """Two prediction files whose queries' only moments these functions give, and labels."""
    asked = {"query": "a cat", "duration": 20}
    labels = [
        {"qid": i, "vid": f"v{i // 2}", "relevant_windows": [[0, 10]]} | asked
        for i in range(queries)
    ]
    paths = []
    for name, moment in (("a", first), ("b", second)):
        rows = [{"qid": i, "pred_relevant_windows": [moment(i)]} for i in range(queries)]
        paths.append(write(tmp_path / f"{name}.jsonl", [row for row in rows if moment(row["qid"])]))
    return *paths, write(tmp_path / "labels.jsonl", labels)


def test_differences_wins_and_chance(tmp_path):
    paths = files(
        tmp_path,
        lambda i: [0, 10, 1] if i % 4 else [12, 15, 1],
        lambda i: [0, 10, 1] if i < 36 else None,
    )
    report, text = values_and_text(compare_files(*paths))
    row = report["metrics"]["R@1,IoU=0.5"]
    assert (row["first"], row["second"], row["difference"]) == (75, 90, 15)
    assert (row["first_wins"], row["second_wins"], row["ties"]) == (3, 9, 28)
    low, high = row["interval"]
    assert low < 15 < high and 0.02 < row["p"] < 0.3
    assert [file["missing"] for file in report["files"].values()] == [0, 4]
    assert "b.jsonl: 4 of 40 queries have no prediction: they are misses" in text
    assert "+15.00" in text and "3 / 9" in text


def test_a_clear_difference_is_not_chance_and_none_is(tmp_path):
    paths = files(tmp_path, lambda i: [12, 15, 1], lambda i: [0, 10, 1])
    row = compare_files(*paths).values["metrics"]["mIoU"]
    assert row["interval"] == [100, 100] and row["p"] < 0.001
    same = compare_files(paths[0], paths[0], paths[2]).values["metrics"]["mIoU"]
    assert same["difference"] == 0 and same["p"] == 1 and same["ties"] == 40


def test_only_metrics_of_both_and_queries_that_count():
    first = {"R": np.array([1.0, np.nan, 0.0]), "S": np.ones(3)}
    found = compare_values(first, {"R": np.array([0.0, np.nan, 0.0])}, np.arange(3))
    assert list(found) == ["R"]
    assert found["R"]["first"] == 50 and found["R"]["ties"] == 1


def test_other_queries_are_refused(tmp_path):
    paths = files(tmp_path, lambda i: [0, 10, 1], lambda i: [0, 10, 1])
    other = write(tmp_path / "c.jsonl", [{"qid": 99, "pred_relevant_windows": []}])
    with pytest.raises(ValueError, match="1 predicted ids that the labels of labels do not have"):
        compare_files(paths[0], other, paths[2])
