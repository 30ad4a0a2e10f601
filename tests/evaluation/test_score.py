"""`vmr score`: numbers, tables, what is said about misses, and every refusal."""

import json
import subprocess
import sys

import pytest

from tests import official_reports
from tests.evaluation.score_cases import values_and_text
from vmr_jax import cli
from vmr_jax.evaluation.score import score_files


def label(qid, *windows, duration=20):
    """One line of a label file."""
    windows = [list(window) for window in windows]
    line = {"qid": qid, "query": "a cat", "vid": f"v{qid}", "duration": duration}
    return json.dumps(line | {"relevant_windows": windows}) + "\n"


def prediction(qid, *windows):
    """One line of a prediction file, scores falling."""
    rows = [[start, end, 1 - place / 10] for place, (start, end) in enumerate(windows)]
    return json.dumps({"qid": qid, "query": "a", "vid": "v", "pred_relevant_windows": rows}) + "\n"


def score(tmp_path, predictions, labels, dataset="jsonl", split="", with_map=False):
    """Write both files, score them, return the report and what was printed."""
    predicted, labelled = tmp_path / "predictions.jsonl", tmp_path / "labels.jsonl"
    predicted.write_text("".join(predictions))
    labelled.write_text("".join(labels))
    return values_and_text(score_files(predicted, labelled, dataset, split, with_map))


def test_report(tmp_path):
    labels = [label(1, (0, 10)), label(2, (0, 10)), label(3, (5, 10)), label(4, (0, 10))]
    predictions = [prediction("2", (0, 5)), prediction(1, (12, 15), (0, 10)), prediction(4)]
    report, text = score(tmp_path, predictions, labels)
    assert {key: report[key] for key in ("dataset", "split", "queries", "missing")} == {
        "dataset": "jsonl",
        "split": "labels",
        "queries": 4,
        "missing": 1,
    }
    assert report["model"]["R@1,IoU=0.5"] == 25 and report["model"]["R@5,IoU=0.5"] == 50
    assert list(report["random"]) == list(report["model"])
    assert "location_prior" not in report and "lengths" not in report
    assert "1 of 4 queries have no prediction: they are misses" in text
    assert "predictions.jsonl on jsonl / labels: 4 queries" in text
    assert "R@1,IoU=0.5" in text and "25.00" in text


def test_a_linear_match_stands_beside_it_with_the_interval_of_the_difference(tmp_path):
    labels = [label(i, (0, 10)).replace('"vid": "v"', f'"vid": "v{i}"') for i in range(40)]
    linear = tmp_path / "linear_match.jsonl"
    linear.write_text("".join(prediction(i, (12, 15)) for i in range(40)))
    files = tmp_path / "predictions.jsonl", tmp_path / "labels.jsonl"
    files[0].write_text("".join(prediction(i, (0, 10) if i % 2 else (12, 15)) for i in range(40)))
    files[1].write_text("".join(labels))
    report, text = values_and_text(score_files(*files, linear_match=linear))
    assert report["linear_match"]["R@1,IoU=0.5"] == 0 and report["model"]["R@1,IoU=0.5"] == 50
    low, high = report["intervals"]["model"]["R@1,IoU=0.5"]
    assert 30 < low < 40 and 60 < high < 70
    assert report["intervals"]["model - linear_match"]["R@1,IoU=0.5"] == [low, high]
    assert f"{low:.1f} to {high:.1f}" in text and "95 %" in text
    assert "+50.0 points beside linear_match" in text and "better than a linear match" in text


def test_the_listed_order_is_said_and_can_count(tmp_path):
    labels = [label(1, (0, 10)), label(2, (0, 10))]
    rows = [[12, 15, 0.1], [0, 10, 0.9]]
    line = json.dumps({"qid": 1, "pred_relevant_windows": rows}) + "\n"
    report, text = score(tmp_path, [line, prediction(2, (0, 10))], labels)
    assert report["model"]["R@1,IoU=0.5"] == 100
    assert "1 of 2 queries are not in the order of their scores: the scores count here" in text
    files = tmp_path / "predictions.jsonl", tmp_path / "labels.jsonl"
    report, text = values_and_text(score_files(*files, order="file"))
    assert report["model"]["R@1,IoU=0.5"] == 50 and report["model"]["R@5,IoU=0.5"] == 100
    assert "1 of 2 queries are not in the order of their scores: the listed order counts" in text
    with pytest.raises(ValueError, match="order is 'best'; it must be one of score, file"):
        score_files(*files, order="best")
    _, text = score(tmp_path, [prediction(1, (0, 10)), prediction(2, (0, 10))], labels)
    assert "order" not in text


def test_map_when_a_query_has_several_windows(tmp_path):
    labels = [label(1, (0, 4), (6, 18)), label(2, (0, 10))]
    report, text = score(tmp_path, [prediction(1, (0, 4)), prediction(2, (0, 10))], labels)
    assert report["lengths"]["full"]["mAP"] == 75
    assert report["lengths"]["middle"] == pytest.approx(
        report["lengths"]["middle"] | {"queries": 1, "mAP": 0}
    )
    assert report["model"]["mIoU"] == 100  # the best of several windows counts
    assert "average" in text and "75.00" in text and "1 queries" in text


def test_map_on_request(tmp_path):
    report, _ = score(tmp_path, [prediction(1, (0, 10))], [label(1, (0, 10))], with_map=True)
    assert report["lengths"]["full"]["mAP@0.95"] == 100


def test_repairs_of_the_labels_are_said(tmp_path):
    labels = [label(1, (0, 25)), label(2, (4, 4))]
    report, text = score(tmp_path, [prediction(1, (0, 20)), prediction(2, (4, 4))], labels)
    assert report["model"]["R@1,IoU=0.7"] == 50
    assert (
        "labels: 1 x moment ends beyond the video (end clipped to the duration), e.g. labels 1"
        in text
    )
    assert "labels: 1 x zero-length moment (kept; counts as a miss), e.g. labels 2" in text


def test_a_training_split_without_labels_teaches_no_prior(tmp_path):
    (tmp_path / "train.jsonl").write_text(label(1) + label(2))
    (tmp_path / "val.jsonl").write_text(label(3, (0, 10)))
    predicted = tmp_path / "predictions"
    predicted.write_text(prediction(3, (0, 10)))
    report, text = values_and_text(score_files(predicted, tmp_path, "jsonl", "val"))
    assert "location_prior" not in report and "random" in report
    said = "no location prior: there is no other split for training that has labels"
    assert said in text


def changed_distribution(folder):
    """A tiny Charades-CD: a training and a test split."""
    for name, times in (("train", [[0, 5], [0, 5]]), ("test_ood", [[10, 20]])):
        entry = {"timestamps": times, "sentences": ["a cat"] * len(times), "video_duration": 20.0}
        (folder / f"charades_{name}.json").write_text(json.dumps({name[:2]: entry}))


def test_dataset_with_a_training_split(tmp_path):
    changed_distribution(tmp_path)
    predicted = tmp_path / "predictions.jsonl"
    predicted.write_text(prediction("te#0", (10, 20)))
    report, text = values_and_text(score_files(predicted, tmp_path, "charades_cd", "test_ood"))
    assert report["model"]["dR@1,IoU=0.7"] == 100
    assert report["location_prior"]["R@1,IoU=0.1"] == 0  # it learnt [0, 5]
    assert list(report["location_prior"]) == list(report["model"])
    assert "location_prior" in text


def score_didemo(tmp_path, windows):
    """Score one query's windows against four annotators, with a training split."""
    entry = {"video": "v.mov", "description": "a cat", "num_segments": 6}
    marked = {"train": [[5, 5]] * 4, "test": [[0, 0], [0, 0], [0, 0], [1, 2]]}
    for query, (split, times) in enumerate(marked.items()):
        labels = [entry | {"annotation_id": query, "times": times}]
        (tmp_path / f"{split}_data.json").write_text(json.dumps(labels))
    predicted = tmp_path / "predictions.jsonl"
    predicted.write_text(prediction(1, *windows))
    return values_and_text(score_files(predicted, tmp_path, "didemo", "test"))


def test_didemo_by_its_own_metric(tmp_path):
    windows = [(5 * a, 5 * (b + 1)) for a in range(6) for b in range(a, 6)]
    report, text = score_didemo(tmp_path, windows)
    assert list(report["model"])[-3:] == ["rank@1", "rank@5", "mIoU"]
    assert report["model"]["rank@1"] == 100 and report["model"]["mIoU"] == 100
    assert report["location_prior"]["rank@1"] == 0  # it learnt the last segment
    assert list(report["random"]) == list(report["location_prior"]) == list(report["model"])
    assert "rank@1, rank@5, mIoU: mean of the best three annotators (official)" in text


@pytest.mark.parametrize(
    ("windows", "reason"),
    [
        ([(0, 5)], r"1 of 1 queries do not rank each annotated moment, e.g. query 1 not [5, 15] s"),
        ([(0, 4.2)], "predicted moment [0, 4.2] s of query 1 is not made of DiDeMo's segments"),
        ([], "e.g. query 1 not [0, 5] s among its 0: DiDeMo's metric needs a ranking of all 21"),
    ],
)
def test_didemo_without_a_full_ranking(tmp_path, windows, reason):
    report, text = score_didemo(tmp_path, windows)
    assert "rank@1" not in report["model"] and "rank@1" not in report["location_prior"]
    assert report["model"]["R@1,IoU=0.7"] == (100 if windows else 0)
    assert "without DiDeMo's own metric; below the best annotator counts: " in text
    assert reason in text and "best three" not in text


@pytest.mark.parametrize(
    ("predictions", "labels", "split", "message"),
    [
        (
            [prediction(i, (0, 1)) for i in range(1, 9)],
            [label(1, (0, 1))],
            "",
            "7 predicted ids that the labels of labels do not have: 2, 3, 4, 5, 6, ...$",
        ),
        (
            [prediction(1, (0, 1))],
            [label(1, (0, 1)), label(1, (0, 2))],
            "",
            "1 ids that come twice in the labels of labels: 1$",
        ),
        (
            [prediction(1, (0, 1))],
            [label(1, (0, 1)), label(2)],
            "",
            "1 queries of labels whose labels are hidden; they cannot be scored: 2$",
        ),
        ([prediction(1)] * 2, [label(1, (0, 1))], "", "predictions.jsonl:2: qid 1 was already"),
        ([prediction(1)], [label(1, (0, 1))], "val", "jsonl has no split 'val' here; .* labels$"),
        ([prediction(1)], [], "", "labels has no queries"),
    ],
)
def test_refusals(tmp_path, predictions, labels, split, message):
    with pytest.raises(ValueError, match=message):
        score(tmp_path, predictions, labels, split=split)


def test_several_splits_need_a_choice(tmp_path):
    changed_distribution(tmp_path)
    (tmp_path / "predictions.jsonl").write_text(prediction("te#0"))
    with pytest.raises(ValueError, match="choose one with --split: train, test_ood"):
        score_files(tmp_path / "predictions.jsonl", tmp_path, "charades_cd")


def run_cli(monkeypatch, *arguments):
    """Run the `vmr` command with arguments; its exit code or message."""
    monkeypatch.setattr(sys, "argv", ["vmr", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return stop.value.code


def test_command(tmp_path, monkeypatch, capsys):
    predicted, labelled = tmp_path / "predictions.jsonl", tmp_path / "labels.jsonl"
    predicted.write_text(prediction(1, (0, 10)))
    labelled.write_text(label(1, (0, 10)))
    out = tmp_path / "report.json"
    assert run_cli(monkeypatch, "score", predicted, labelled, "--map", "--json", out) == 0
    assert "R@1,IoU=0.5" in capsys.readouterr().out
    assert json.loads(out.read_text())["lengths"]["full"]["mAP"] == 100


def test_command_ends_in_one_line(tmp_path, monkeypatch):
    message = run_cli(monkeypatch, "score", tmp_path / "none.jsonl", tmp_path)
    assert message == f"vmr: no predictions at {tmp_path}/none.jsonl"


def test_highlights_stand_beside_the_moments(tmp_path):
    rated = {"relevant_clip_ids": [1, 2], "saliency_scores": [[4, 3, 2], [3, 1, 0]]}
    line = json.loads(label(1, (2, 6))) | rated
    labels = [json.dumps(line) + "\n", label(2, (0, 10))]
    saliency = {"pred_saliency_scores": [0, 9, 8, 0, 0, 0, 0, 0, 0, 0]}
    first = json.dumps(json.loads(prediction(1, (2, 6))) | saliency) + "\n"
    report, text = score(tmp_path, [first, prediction(2, (0, 10))], labels)
    assert report["highlights"]["HL-min-Fair-mAP"] == 100  # the second query has no ratings
    assert report["highlights"]["HL-min-VeryGood-mAP"] == pytest.approx(100 / 3)
    assert report["highlights"]["HL-min-VeryGood-Hit1"] == 100
    assert list(report["intervals"]["highlights"]) == list(report["highlights"])
    assert "HL-min-VeryGood-Hit1" in text
    report, text = score(tmp_path, [prediction(1, (2, 6))], labels)
    assert "highlights" not in report and "HL-min" not in text


def test_every_length_has_intervals(tmp_path):
    labels = [label(i, (0, 5), (8, 19)) for i in range(8)]
    report, _ = score(tmp_path, [prediction(i, (0, 5)) for i in range(4)], labels)
    assert (
        set(report["intervals"]["lengths"])
        == set(report["lengths"])
        == {
            "full",
            "middle",
            "short",
        }
    )
    low, high = report["intervals"]["lengths"]["short"]["mAP"]
    assert low < report["lengths"]["short"]["mAP"] == 50 < high


def test_a_score_imports_no_jax(tmp_path):
    predicted, labelled = tmp_path / "predictions.jsonl", tmp_path / "labels.jsonl"
    predicted.write_text(prediction(1, (0, 10)))
    labelled.write_text(label(1, (0, 10)))
    code = (
        "import sys; from vmr_jax import cli\n"
        f"sys.argv = ['vmr', 'score', {str(predicted)!r}, {str(labelled)!r}]\n"
        "try: cli.main()\n"
        "finally: print('jax' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "R@1,IoU=0.5" in done.stdout and done.stderr == "False\n"


@official_reports.of_each
def test_official_reports_on_qvhighlights(predictions, report):
    folder = official_reports.FOLDER
    found = score_files(folder / predictions, folder, "qvhighlights", "val").values
    official = json.loads((folder / report).read_text())["brief"]
    full = found["lengths"]["full"]
    values = {f"MR-full-R1@{m}": full[f"R@1,IoU={m}"] for m in (0.5, 0.7)}
    values |= {f"MR-full-mAP@{m}": full[f"mAP@{m}"] for m in (0.5, 0.75)}
    values |= {f"MR-{name}-mAP": own["mAP"] for name, own in found["lengths"].items()}
    values |= found["highlights"]
    assert {name: f"{value:.2f}" for name, value in values.items()} == {
        name: f"{value:.2f}" for name, value in official.items()
    }
    assert found["model"]["R@1,IoU=0.7"] == full["R@1,IoU=0.7"]
