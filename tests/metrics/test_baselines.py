"""The baselines: their distribution, greedy choice, and figures on real annotations."""

import os
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations
from vmr_jax.metrics import baselines
from vmr_jax.metrics.baselines import (
    baseline_values,
    fit_location_prior,
    location_prior_predictions,
    random_predictions,
)
from vmr_jax.metrics.moments import moment_metrics

REAL = os.environ.get("VMR_DATA_DIR")


def test_random_predictions():
    durations = np.full(5000, 8.0)
    rows = random_predictions(durations, 3, seed=1)
    assert rows.shape == (5000, 3, 3)
    assert (rows[..., 0] <= rows[..., 1]).all() and rows.min() >= 0 and rows[..., 1].max() <= 8
    # The smaller and the larger of two uniform points: means 1/3 and 2/3.
    np.testing.assert_allclose(rows[..., :2].mean((0, 1)), [8 / 3, 16 / 3], atol=0.1)
    np.testing.assert_allclose(rows[0, :, 2], [1, 2 / 3, 1 / 3])
    np.testing.assert_array_equal(rows, random_predictions(durations, 3, seed=1))
    assert (rows != random_predictions(durations, 3, seed=2)).any()


def random_metrics(truths, durations, **options):
    """The figures of "random", in percent."""
    found = baseline_values(truths, durations, None, **options)["random"]
    return {name: 100 * values.mean() for name, values in found.items()}


def test_random_metrics_are_the_mean_of_the_draws():
    rng = np.random.default_rng(0)
    durations = rng.uniform(5, 50, 30)
    truths = np.sort(rng.uniform(size=(30, 1, 2)), axis=-1) * durations[:, None, None]
    options = {"discounted": True, "iou_cmp": "gt", "ranks": (1, 3)}
    found = random_metrics(truths, durations, **options)
    draws = [
        moment_metrics(random_predictions(durations, 3, i), truths, durations, **options)
        for i in range(baselines.RANDOM_DRAWS)
    ]
    assert found == pytest.approx({k: np.mean([draw[k] for draw in draws]) for k in draws[0]})


def test_random_against_the_whole_video():
    # IoU with [0, T] is the length |u - v|, and P(|u - v| >= m) = (1 - m)^2.
    found = random_metrics(np.tile([[[0.0, 9.0]]], (4000, 1, 1)), np.full(4000, 9.0))
    assert found["R@1,IoU=0.5"] == pytest.approx(25, abs=1)
    assert found["mIoU"] == pytest.approx(100 / 3, abs=1)


def test_location_prior_finds_what_is_on_the_grid():
    # Three, two and one queries: the greedy order.
    relative = np.array([[0.25, 0.5]] * 3 + [[0.75, 1.0]] * 2 + [[0.0, 0.125]])
    durations = np.array([10.0, 20, 30, 40, 50, 60])
    prior = fit_location_prior(relative[:, None] * durations[:, None, None], durations, 3)
    np.testing.assert_array_equal(prior, [[0.25, 0.5], [0.75, 1.0], [0.0, 0.125]])
    rows = location_prior_predictions(prior, [8.0, 16.0])
    np.testing.assert_allclose(rows[1], [[4, 8, 1], [12, 16, 2 / 3], [0, 2, 1 / 3]])


def test_location_prior_equals_the_greedy_loop(monkeypatch):
    monkeypatch.setattr(baselines, "GRID_STEPS", 5)
    rng = np.random.default_rng(0)
    durations = rng.uniform(5, 50, 40)
    moments = [np.sort(rng.uniform(0, t, (rng.integers(1, 4), 2)), axis=-1) for t in durations]
    cells = [(i / 5, j / 5) for i, j in combinations(range(6), 2)]

    def merit(prior):
        """A list's recall at IoU 0.5 and mean IoU, with the best of a query's truths."""
        best = []
        for truths, seconds in zip(moments, durations, strict=True):
            ious = [0.0]
            for s, e in prior:
                for ts, te in truths / seconds:
                    ious.append(max(0.0, min(e, te) - max(s, ts)) / (max(e, te) - min(s, ts)))
            best.append(max(ious))
        return np.mean(np.array(best, np.float32) >= 0.5), np.mean(best)

    expected = []
    for _ in range(4):
        expected.append(max(cells, key=lambda cell: merit([*expected, cell])))
    np.testing.assert_array_equal(fit_location_prior(moments, durations, 4), expected)


def test_location_prior_never_repeats(monkeypatch):
    monkeypatch.setattr(baselines, "GRID_STEPS", 2)
    prior = fit_location_prior([[(0, 5)]], [10.0], 3)
    np.testing.assert_array_equal(prior, [[0, 0.5], [0, 1], [0.5, 1]])


def test_location_prior_ignores_queries_without_labels():
    known, durations = [[(0.0, 5.0)], [(5.0, 10.0)], [(5.0, 9.0)]], [10.0, 10.0, 20.0]
    hidden = [np.zeros((0, 2)), [(np.nan, np.nan)]] * 9
    found = fit_location_prior(hidden + known, [np.nan, 8.0] * 9 + durations, 3)
    np.testing.assert_array_equal(found, fit_location_prior(known, durations, 3))


def test_baselines_without_training_labels_have_no_prior():
    truths, durations = [[(0.0, 5.0)]], np.array([10.0])
    unlabelled = ([np.zeros((0, 2)), [(np.nan, np.nan)]], np.array([10.0, 10.0]))
    for training in (None, unlabelled):
        assert list(baseline_values(truths, durations, training)) == ["random"]
    found = baseline_values(truths, durations, (truths, durations))
    assert found["location_prior"]["mIoU"] == 1


@pytest.mark.parametrize(
    ("moments", "durations", "k", "message"),
    [
        ([], [], 1, "got 0 training queries and 0 durations"),
        ([[(0, 1)]], [1.0, 2.0], 1, "got 1 training queries and 2 durations"),
        ([np.zeros((0, 2))], [1.0], 1, "none of 1 training queries has a moment to learn from"),
        ([[(0, 1)]], [1.0], 0, "k is 0; the location prior has 1 to 820 moments"),
        ([[(0, 1)]], [1.0], 821, "k is 821; the location prior has 1 to 820 moments"),
    ],
)
def test_errors(moments, durations, k, message):
    with pytest.raises(ValueError, match=message):
        fit_location_prior(moments, durations, k)


@pytest.mark.skipif(not REAL, reason="VMR_DATA_DIR is not set")
@pytest.mark.parametrize(
    ("dataset", "split", "prior", "random"),
    [
        ("charades_sta", "test", (40.3, 30.65, 15.2, 28.1), (26.8, 10.9, 3.0, 17.8)),
        ("activitynet_captions", "val_2", (48.2, 29.05, 7.3, 30.2), (26.9, 13.6, 4.7, 18.5)),
    ],
)
def test_figures_on_real_annotations(dataset, split, prior, random):
    annotations = read_annotations(dataset, Path(REAL, dataset))

    def truths(name):
        records = annotations.splits[name]
        durations = [annotations.durations[record.video_id] for record in records]
        return [record.moments for record in records], np.array(durations)

    names = ["R@1,IoU=0.3", "R@1,IoU=0.5", "R@1,IoU=0.7", "mIoU"]
    learnt = fit_location_prior(*truths("train"), 5)
    true, durations = truths(split)
    found = moment_metrics(location_prior_predictions(learnt, durations), true)
    assert [found[name] for name in names] == pytest.approx(prior, abs=0.5)
    found = random_metrics(true, durations)
    assert [found[name] for name in names] == pytest.approx(random, abs=0.5)
