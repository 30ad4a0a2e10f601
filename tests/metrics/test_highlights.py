"""HL-mAP and HL-Hit1: by hand, a plain loop, and the official reports on QVHighlights."""

import json

import numpy as np
import pytest

from tests import official_reports
from vmr_jax.data.datasets import read_annotations
from vmr_jax.evaluation.predictions import read_prediction_file
from vmr_jax.metrics.highlights import LEVELS, NAMES, highlight_metrics


@pytest.mark.parametrize(
    ("name", "saliency", "ratings", "precision", "hit"),
    [
        ("perfect", [3, 1, 2], [[4], [0], [4]], 1, 1),
        ("second of two", [1, 2], [[4], [0]], 1 / 2, 0),
        ("interpolated", [3, 2, 1], [[0], [4], [4]], 2 / 3, 0),
        ("equal scores are one step", [1, 1, 1, 1], [[4], [0], [4], [0]], 1 / 2, 1),
        ("the first of equal scores", [1, 1], [[0], [4]], 1 / 2, 0),
        ("no highlight", [1, 2], [[0], [1]], 0, 0),
        ("all are highlights", [1, 2], [[4], [4]], 1, 1),
        ("annotators: mean of AP, best of hits", [2, 1], [[4, 0], [0, 4]], 3 / 4, 1),
        ("missing scores are 0", [-1], [[0], [4]], 1, 0),
        ("scores beyond the video", [1, 2, 3], [[0], [4]], 1, 0),
        ("NaN ranks last", [np.nan, 1], [[4], [0]], 1 / 2, 0),
        ("no scores", [], [[4], [4]], 0, 0),
    ],
)
def test_by_hand(name, saliency, ratings, precision, hit):
    found = highlight_metrics([saliency], [np.array(ratings, float)])
    assert found["HL-min-Good-mAP"].item() == pytest.approx(precision), name
    assert found["HL-min-Good-Hit1"].item() == hit, name


def test_levels_and_queries_that_do_not_count():
    ratings = [np.array([[2.0], [0.0]]), np.zeros((0, 1)), np.array([[3.0, 4.0]])]
    found = highlight_metrics([[1, 0], [1, 0], [1]], ratings)
    assert list(found) == list(NAMES)
    np.testing.assert_array_equal(found["HL-min-Fair-Hit1"], [1, np.nan, 1])
    np.testing.assert_array_equal(found["HL-min-Good-mAP"], [0, np.nan, 1])
    np.testing.assert_array_equal(found["HL-min-VeryGood-mAP"], [0, np.nan, 0.5])
    with pytest.raises(ValueError, match="1 lists of saliency for 2 queries"):
        highlight_metrics([[1]], ratings[:2])


def loop(saliency, good):
    """Average precision of one annotator's highlights, a threshold after the other."""
    points, found = [], 0
    for score in sorted(set(saliency), reverse=True):
        above = [hit for hit, other in zip(good, saliency, strict=True) if other >= score]
        points.append((sum(above) / len(above), sum(above)))
    steps = []
    for place, (_, hits) in enumerate(points):
        if hits > found:
            steps.append(max(precision for precision, _ in points[place:]))
        found = hits
    return float(np.mean(steps)) if steps else 0.0


def test_equals_the_loop():
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 12, 60)
    ratings = [rng.integers(0, 5, (size, 3)).astype(float) for size in sizes]
    saliency = [rng.integers(0, 4, size).astype(float) for size in sizes]
    found = highlight_metrics(saliency, ratings)
    for level, least in LEVELS.items():
        expected = [
            np.mean([loop(scores.tolist(), column >= least) for column in rated.T])
            for scores, rated in zip(saliency, ratings, strict=True)
        ]
        np.testing.assert_allclose(found[f"HL-min-{level}-mAP"], expected, rtol=1e-12)


@official_reports.of_each
def test_official_reports(predictions, report):
    folder = official_reports.FOLDER
    records = read_annotations("qvhighlights", folder).splits["val"]
    saliency = read_prediction_file(folder / predictions).saliency
    found = highlight_metrics(
        [saliency[record.query_id] for record in records], [record.saliency for record in records]
    )
    official = json.loads((folder / report).read_text())["brief"]
    assert {name: f"{100 * values.mean():.2f}" for name, values in found.items()} == {
        name: f"{official[name]:.2f}" for name in NAMES
    }
