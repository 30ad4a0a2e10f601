"""Moment mAP: by hand, a plain loop, and the official reports of Moment-DETR on QVHighlights."""

import json

import numpy as np
import pytest

from tests import official_reports
from vmr_jax.metrics.average_precision import THRESHOLDS, average_precision, length_metrics


@pytest.mark.parametrize(
    ("name", "predictions", "truths", "expected"),
    [
        ("perfect", [(0, 10, 0.9)], [(0, 10)], 1),
        ("second", [(20, 30, 0.9), (0, 10, 0.8)], [(0, 10)], 1 / 2),
        ("order by score", [(20, 30, 0.8), (0, 10, 0.9)], [(0, 10)], 1),
        ("one of two found", [(0, 10, 0.9)], [(0, 10), (20, 30)], 1 / 2),
        ("a truth is taken once", [(0, 10, 0.9), (0, 10, 0.8)], [(0, 10), (20, 30)], 1 / 2),
        ("hit, miss, hit", [(0, 10, 3), (50, 60, 2), (20, 30, 1)], [(0, 10), (20, 30)], 5 / 6),
        # Interpolated: the first hit gets the better precision of the later one.
        ("miss, hit, hit", [(50, 60, 3), (0, 10, 2), (20, 30, 1)], [(0, 10), (20, 30)], 2 / 3),
        ("IoU exactly 0.5", [(0, 5, 1)], [(0, 10)], 1),
        ("11th is not read", [(50, 60, 1)] * 10 + [(0, 10, 2)], [(0, 10)], 0),
        ("no prediction", [], [(0, 10)], 0),
        ("no truth", [(0, 10, 1)], [], 0),
        ("degenerate", [(5, 5, 1)], [(5, 5)], 0),
        # (0, 10) takes the last of two truths with IoU 0.5; (10, 20) then finds none.
        ("equal IoU: the last", [(0, 10, 2), (10, 20, 1)], [(0, 5), (0, 20)], 1 / 2),
        ("equal IoU: the last, reversed", [(0, 10, 2), (10, 20, 1)], [(0, 20), (0, 5)], 1),
    ],
)
def test_by_hand(name, predictions, truths, expected):
    found = average_precision([predictions], [truths], thresholds=(0.5,))
    assert found.item() == pytest.approx(expected), name


def loop(rows, windows, threshold):
    """Average precision of one query by plain loops."""
    free, hits, precisions = list(windows), [], []
    for s, e, _ in sorted(rows[:10], key=lambda row: -row[2]):
        ious = [
            max(0, min(e, te) - max(s, ts)) / max(max(e, te) - min(s, ts), 1e-9) for ts, te in free
        ]
        hit = bool(free) and max(ious) >= threshold
        if hit:
            last = max(i for i, iou in enumerate(ious) if iou == max(ious))
            free.pop(last)
        hits.append(hit)
        precisions.append(sum(hits) / len(hits))
    return sum(max(precisions[i:]) for i, hit in enumerate(hits) if hit) / len(windows)


def test_equals_the_loop():
    rng = np.random.default_rng(0)
    predictions, truths = [], []
    for _ in range(150):
        size = rng.integers(0, 13)
        moments = np.sort(rng.integers(0, 20, (size, 2)) / 4, axis=-1)
        predictions.append(np.column_stack([moments, rng.integers(0, 5, size) / 4]))
        start = rng.integers(0, 15, (rng.integers(1, 5), 1)) / 4
        truths.append(start + np.concatenate([start * 0, rng.integers(1, 9, start.shape) / 4], 1))
    found = average_precision(predictions, truths)
    expected = [
        [loop(rows.tolist(), windows.tolist(), m) for m in THRESHOLDS]
        for rows, windows in zip(predictions, truths, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_length_ranges():
    predictions = [[(0, 10, 0.9), (50, 90, 0.8)], [(0, 20, 0.5)]]
    truths = [[(0, 10), (50, 90)], [(5, 35)]]
    report = length_metrics(predictions, truths)
    assert {name: values["queries"] for name, values in report.items()} == {
        "full": 2,
        "long": 1,  # 40 s
        "middle": 1,  # 30 s is middle
        "short": 1,  # 10 s is short
    }
    assert report["full"]["mAP@0.5"] == pytest.approx(50)
    assert report["long"]["mAP"] == pytest.approx(50)  # the other prediction is a false one
    assert report["long"]["R@1,IoU=0.5"] == 0
    assert report["short"]["mAP"] == pytest.approx(100)


def test_empty_range_is_left_out():
    assert list(length_metrics([[]], [[(0, 5)]])) == ["full", "short"]


@official_reports.of_each
def test_official_reports(predictions, report):
    folder = official_reports.FOLDER

    def lines(name):
        return [json.loads(line) for line in (folder / name).read_text().splitlines()]

    windows = {line["qid"]: line["pred_relevant_windows"] for line in lines(predictions)}
    labels = lines("highlight_val_release.jsonl")
    found = length_metrics(
        [windows[line["qid"]] for line in labels], [line["relevant_windows"] for line in labels]
    )
    official = json.loads((folder / report).read_text())
    for name, values in found.items():
        for m, value in official[name]["MR-mAP"].items():
            key = "mAP" if m == "average" else f"mAP@{m}"
            assert f"{values[key]:.2f}" == f"{value:.2f}", (name, key)
        for m, value in official[name]["MR-R1"].items():
            assert f"{values[f'R@1,IoU={m}']:.2f}" == f"{value:.2f}", (name, m)
    assert len(found) == 4
