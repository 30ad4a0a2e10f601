"""Recall, mIoU and discounted recall: the golden tables I, R, U and D, and a plain loop."""

import time
import warnings

import numpy as np
import pytest

from vmr_jax.metrics.moments import (
    has_valid_truth,
    moment_metrics,
    rank_predictions,
    temporal_iou,
)

NAN, INF = np.nan, np.inf
SHORT = (0.3, 0.5, 0.7)


def listed(*moments):
    """Moments as one query's predictions, in the given order."""
    scores = np.arange(len(moments), 0, -1)
    return np.column_stack([np.reshape(moments, (-1, 2)), scores])


@pytest.mark.parametrize(
    ("name", "predicted", "true", "iou"),
    [
        ("I1", (0, 10), (0, 10), 1),
        ("I2", (0, 10), (5, 15), 1 / 3),
        ("I3", (0, 5), (0, 10), 0.5),
        ("I4", (2, 4), (6, 8), 0),
        ("I5", (0, 3), (0, 10), 0.3),
        ("I6", (0, 7), (0, 10), 0.7),
        ("I7", (3, 9), (4, 10), 5 / 7),
        ("I8", (5, 5), (0, 10), 0),
        ("I9", (5, 5), (5, 5), 0),
        ("I10", (8, 4), (0, 10), 0),
        ("I11", (20, 30), (20, 26), 0.6),
        ("I12", (20, 26), (20, 26), 1),
        ("I13", (NAN, 5), (0, 10), 0),
        ("I14", (0, 5), (5, 10), 0),
        ("infinite end", (0, INF), (0, 10), 0),
        ("infinite start and end", (-INF, INF), (-INF, INF), 0),
        ("reversed truth", (0, 10), (10, 0), 0),
        ("NaN truth", (0, 10), (0, NAN), 0),
    ],
)
def test_golden_iou(name, predicted, true, iou):
    assert temporal_iou(predicted, true) == iou, name


def test_iou_broadcasts():
    iou = temporal_iou(np.zeros((4, 1, 2)) + [0, 5], np.ones((1, 3, 2)) * [0, 10])
    np.testing.assert_array_equal(iou, np.full((4, 3), 0.5))


@pytest.mark.parametrize(
    ("name", "moments", "truth", "iou_cmp", "expected"),
    [
        ("R1 ge", [(0, 5)], (0, 10), "ge", {"R@1,IoU=0.5": 100}),
        ("R1 gt", [(0, 5)], (0, 10), "gt", {"R@1,IoU=0.5": 0, "R@1,IoU=0.3": 100}),
        ("R2 ge", [(0, 7)], (0, 10), "ge", {"R@1,IoU=0.7": 100}),
        ("R2 gt", [(0, 7)], (0, 10), "gt", {"R@1,IoU=0.7": 0}),
        (
            "R3",
            [(0, 3), (0, 7)],
            (0, 10),
            "ge",
            {"R@1,IoU=0.3": 100, "R@1,IoU=0.5": 0, "R@5,IoU=0.5": 100},
        ),
        (
            "R4",
            [(2, 4), (6, 8)],
            (20, 30),
            "ge",
            {f"R@{n},IoU={m}": 0 for n in (1, 5) for m in (0.1, 0.3, 0.5, 0.7)} | {"mIoU": 0},
        ),
        ("R9", [], (0, 10), "ge", {"R@1,IoU=0.1": 0, "R@5,IoU=0.1": 0, "mIoU": 0}),
        ("U3", [(5, 5)], (0, 10), "ge", {"mIoU": 0}),
        ("U5", [(20, 30)], (20, 26), "ge", {"mIoU": 60}),
        ("U5 clipped", [(20, 26)], (20, 26), "ge", {"mIoU": 100}),
    ],
)
def test_golden_one_query(name, moments, truth, iou_cmp, expected):
    metrics = moment_metrics([listed(*moments)], [[truth]], iou_cmp=iou_cmp)
    assert {key: metrics[key] for key in expected} == pytest.approx(expected), name


def test_golden_r5():
    metrics = moment_metrics([listed((0, 10)), listed((0, 4))], [[(0, 10)]] * 2)
    assert [metrics[f"R@1,IoU={m}"] for m in SHORT] == [100, 50, 50]


def test_golden_r6_nan_score_ranks_last():
    metrics = moment_metrics([[(0, 10, NAN), (0, 2, 0.1)]], [[(0, 10)]])
    assert (metrics["R@1,IoU=0.5"], metrics["R@5,IoU=0.5"]) == (0, 100)


@pytest.mark.parametrize(("name", "order", "recall"), [("R7", [0, 1], 0), ("R8", [1, 0], 100)])
def test_golden_ties_keep_their_order(name, order, recall):
    tied = np.array([(0, 2, 0.5), (0, 10, 0.5)])[order]
    assert moment_metrics([tied], [[(0, 10)]])["R@1,IoU=0.5"] == recall, name


def test_golden_r10_invalid_truth():
    predictions = [listed((4, 4)), listed((0, 10)), listed((3, 5))]
    truths = [[(4, 4)], [(0, 10)], [(3, 5)]]
    missed = moment_metrics(predictions, truths)
    dropped = moment_metrics(predictions, truths, drop_invalid_gt=True)
    assert missed["R@1,IoU=0.5"] == pytest.approx(200 / 3)
    assert dropped["R@1,IoU=0.5"] == 100
    assert has_valid_truth(truths).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("name", "moments", "truths", "miou"),
    [
        ("U1", [(0, 10), (0, 5), (20, 30)], [(0, 10)] * 3, 50),
        ("U2", [(0, 5), (0, 3), (0, 7)], [(0, 10)] * 3, 50),
        ("U4", [(0, 10), (0, 10)], [(5, 15), (0, 10)], 200 / 3),
    ],
)
def test_golden_miou(name, moments, truths, miou):
    metrics = moment_metrics([listed(m) for m in moments], [[t] for t in truths])
    assert metrics["mIoU"] == pytest.approx(miou), name


def test_golden_u6_query_without_prediction():
    assert moment_metrics([[], listed((0, 10))], [[(0, 10)]] * 2)["mIoU"] == 50


@pytest.mark.parametrize(
    ("name", "moments", "truth", "duration", "expected"),
    [
        ("D1", [(0, 30)], (0, 30), 30, (100, 100, 100)),
        ("D2", [(0, 30)], (10, 20), 30, (400 / 9, 0, 0)),
        ("D3", [(2, 18)], (4, 20), 40, (90.25, 90.25, 90.25)),
        ("D4", [(0, 10)], (0, 20), 20, (50, 50, 0)),
        ("D5", [(10, 20)], (5, 20), 50, (90, 90, 0)),
        ("D7", [(5, 5)], (0, 10), 10, (0, 0, 0)),
        ("D8", [(0, 40)], (0, 20), 20, (0, 0, 0)),
        ("D10", [(NAN, 10)], (0, 10), 10, (0, 0, 0)),
    ],
)
def test_golden_discounted(name, moments, truth, duration, expected):
    metrics = moment_metrics([listed(*moments)], [[truth]], [duration], discounted=True)
    assert [metrics[f"dR@1,IoU={m}"] for m in SHORT] == pytest.approx(list(expected)), name


def test_golden_d6_mean():
    predictions, truths = [listed((0, 30)), listed((10, 20))], [[(0, 30)], [(5, 20)]]
    metrics = moment_metrics(predictions, truths, [30, 50], discounted=True)
    assert metrics["dR@1,IoU=0.7"] == pytest.approx(50)


def test_golden_d9_top_two():
    metrics = moment_metrics(
        [listed((0, 10), (0, 20))], [[(0, 20)]], [20], discounted=True, ranks=(1, 2)
    )
    assert metrics["dR@1,IoU=0.5"] == pytest.approx(50)
    assert metrics["dR@2,IoU=0.5"] == pytest.approx(100)


def test_names_are_the_contract():
    metrics = moment_metrics([[]], [[(0, 1)]], [1], discounted=True, thresholds=(0.5,))
    names = ["R@1,IoU=0.5", "R@5,IoU=0.5", "mIoU", "dR@1,IoU=0.5", "dR@5,IoU=0.5"]
    assert list(metrics) == names


def plain(predictions, truths, durations, n, m):
    """R@n, dR@n and mIoU by plain loops, in percent."""
    recall, credit, top = [], [], []
    for rows, windows, seconds in zip(predictions, truths, durations, strict=True):
        order = sorted(range(len(rows)), key=lambda i: -rows[i][2])
        hits, credits, ious = [False], [0.0], [0.0]
        for place, i in enumerate(order[:n]):
            s, e, _ = rows[i]
            for ts, te in windows:
                inter = min(e, te) - max(s, ts)
                iou = inter / (max(e, te) - min(s, ts)) if inter > 0 else 0.0
                alpha = max(0, 1 - abs(s - ts) / seconds) * max(0, 1 - abs(e - te) / seconds)
                hits.append(iou >= m)
                credits.append(alpha if iou >= m else 0.0)
                if place == 0:
                    ious.append(iou)
        recall.append(max(hits))
        credit.append(max(credits))
        top.append(max(ious))
    return [100 * np.mean(values) for values in (recall, credit, top)]


def random_queries(rng, queries):
    """Queries with 0 to 8 predictions and 1 to 4 truths, in quarters of seconds, with ties."""
    predictions, truths = [], []
    for _ in range(queries):
        size = rng.integers(0, 9)
        moments = rng.integers(0, 60, (size, 2)) / 4
        predictions.append(np.column_stack([moments, rng.integers(0, 4, size) / 4]))
        truths.append(np.sort(rng.integers(0, 60, (rng.integers(1, 5), 2)) / 4, axis=-1))
    return predictions, truths, rng.integers(20, 80, queries) / 4


def test_equals_the_loop():
    predictions, truths, durations = random_queries(np.random.default_rng(0), 200)
    metrics = moment_metrics(predictions, truths, durations, ranks=(1, 3), discounted=True)
    for n in (1, 3):
        for m in (0.1, 0.3, 0.5, 0.7):
            recall, credit, top = plain(predictions, truths, durations, n, m)
            assert metrics[f"R@{n},IoU={m}"] == pytest.approx(recall)
            assert metrics[f"dR@{n},IoU={m}"] == pytest.approx(credit)
            assert metrics["mIoU"] == pytest.approx(top)


def test_padding_does_not_matter():
    predictions, truths, durations = random_queries(np.random.default_rng(1), 50)
    padded = [np.concatenate([rows, [(0, 0, -INF)] * 3]) for rows in predictions]
    plain_metrics = moment_metrics(predictions, truths, durations, discounted=True)
    assert moment_metrics(padded, truths, durations, discounted=True) == plain_metrics


def test_ranking_rules():
    rows = [(1, 2, NAN), (2, 3, 0.5), (3, 4, -INF), (4, 5, INF), (5, 6, 0.5)]
    ranked = rank_predictions([rows, []], 6)
    assert ranked[0, :5, 0].tolist() == [4, 2, 5, 1, 3]
    assert np.isnan(ranked[0, 5]).all() and np.isnan(ranked[1]).all()


def test_only_nan_scores_warn_and_keep_their_order():
    rows = [(0, 10, NAN), (0, 2, NAN)]
    with pytest.warns(UserWarning, match="1 of 2 queries have only NaN scores; their order is"):
        ranked = rank_predictions([rows, [(0, 1, 0.5), (0, 1, NAN)]], 2)
    assert ranked[0, :, 1].tolist() == [10, 2]


def test_no_warning_without_predictions():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moment_metrics([[]], [[(0, 1)]])


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (([[]], [[(0, 1)]] * 2), {}, "1 prediction lists for 2 queries"),
        (([[]], [[(0, 1)]]), {"iou_cmp": ">"}, 'iou_cmp is \'>\'; use "ge" or "gt"'),
        (([], []), {}, "there is no query to score"),
        (([[]], [[(4, 4)]]), {"drop_invalid_gt": True}, "there is no query to score"),
        (([[], [(0, 1)]], [[(0, 1)]] * 2), {}, r"predictions of query 1 have shape \(1, 2\), not"),
        (([[]], [(0, 1)]), {}, r"truths of query 0 have shape \(2,\), not \(n, 2\)"),
        (([[]], [[(0, 1)]]), {"discounted": True}, "0 durations for 1 queries"),
        (([[]], [[(0, 1)]], [0.0]), {"discounted": True}, "duration of query 0 is 0.0 s"),
        (([[]], [[(0, 1)]], [NAN]), {"discounted": True}, "duration of query 0 is nan s"),
    ],
)
def test_errors(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        moment_metrics(*arguments, **options)


def test_activitynet_size_is_fast():
    rng = np.random.default_rng(0)
    predictions = rng.uniform(0, 100, (17_000, 10, 3))
    truths = rng.uniform(0, 100, (17_000, 1, 2))
    begin = time.perf_counter()
    moment_metrics(predictions, truths, np.full(17_000, 100.0), discounted=True)
    assert time.perf_counter() - begin < 2
