"""VR, SVMR and VCMR: the golden tables V and W, the official script's figures, a plain loop."""

import time

import numpy as np
import pytest

from vmr_jax.metrics.retrieval import agreed_iou, corpus_metrics, rank_rows
from vmr_jax.types import Moments

NAN, INF = np.nan, np.inf
DIDEMO = [(5, 10), (5, 10), (5, 10), (0, 5)]


def listed(*moments):
    """Rows (video, start, end), best first, with falling scores."""
    scores = np.arange(len(moments), 0, -1)
    return np.column_stack([np.reshape(moments, (-1, 3)), scores])


def ranking(*videos):
    """Videos, best first, as predictions."""
    return listed(*[(video, 0, 0) for video in videos])


def in_corpus(rows, truth=((10, 20),)):
    """VCMR and SVMR of one query about video 7."""
    return corpus_metrics({"VCMR": [rows], "SVMR": [rows]}, [7], [truth])


@pytest.mark.parametrize(
    ("name", "moments", "truth", "expected"),
    [
        ("V1", [(7, 10, 20)], [(10, 20)], {"VCMR/R@1,IoU=0.5": 100, "VCMR/R@1,IoU=0.7": 100}),
        (
            "V2",
            [(3, 10, 20), (7, 10, 20)],
            [(10, 20)],
            {"VCMR/R@1,IoU=0.5": 0, "VCMR/R@5,IoU=0.5": 100, "SVMR/R@1,IoU=0.5": 100},
        ),
        ("V3", [(7, 10, 15)], [(10, 20)], {"VCMR/R@1,IoU=0.5": 100, "VCMR/R@1,IoU=0.7": 0}),
        (
            "V4",
            [(7, 0, 5), (7, 12, 20), (7, 10, 20)],
            [(10, 20)],
            {"VCMR/R@1,IoU=0.5": 0, "VCMR/R@5,IoU=0.7": 100},
        ),
        ("V5", [(7, 15, 15)], [(10, 20)], {"VCMR/R@100,IoU=0.5": 0}),
        (
            "V6",
            [(7, NAN, 20), (7, 10, 20)],
            [(10, 20)],
            {"VCMR/R@1,IoU=0.5": 0, "VCMR/R@5,IoU=0.5": 100},
        ),
        ("V7", [(7, 5, 10)], DIDEMO, {"VCMR/R@1,IoU=0.7": 100}),
        ("V8", [(7, 0, 5)], DIDEMO, {"VCMR/R@100,IoU=0.5": 0}),
        ("V9", [(7, 0, 10)], DIDEMO, {"VCMR/R@1,IoU=0.5": 100, "VCMR/R@1,IoU=0.7": 0}),
        (
            "V10",
            [(3, 10, 20)] * 100 + [(7, 10, 20)],
            [(10, 20)],
            {"VCMR/R@100,IoU=0.5": 0, "SVMR/R@100,IoU=0.5": 0},
        ),
    ],
)
def test_golden_moments(name, moments, truth, expected):
    found = in_corpus(listed(*moments), truth)
    assert {key: found[key] for key in expected} == expected


def test_the_hundredth_prediction_counts():
    found = in_corpus(listed(*[(3, 10, 20)] * 99, (7, 10, 20)))
    assert found["VCMR/R@100,IoU=0.7"] == 100 and found["VCMR/R@10,IoU=0.7"] == 0
    assert found["SVMR/R@1,IoU=0.7"] == 100


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("W1", ranking(7, 3, 5), (100, 100, 100)),
        ("W2", ranking(3, 7, 5), (0, 100, 100)),
        ("W3", ranking(1, 2, 3, 4, 5, 7), (0, 0, 100)),
        ("W4", [(4, 0, 0, 0.5), (7, 0, 0, 0.5)], (0, 100, 100)),
        ("W5", [(7, 0, 0, NAN), *[(100 + i, 0, 0, -i) for i in range(10)]], (0, 0, 0)),
        ("W6", ranking(1, 2, 7), (0, 100, 100)),
        ("repeated videos count once", ranking(1, 1, 2, 2, 3, 1, 7), (0, 100, 100)),
        ("the first place counts", ranking(7, 1, 2, 3, 4, 5, 7), (100, 100, 100)),
        ("no prediction", [], (0, 0, 0)),
        ("padding is no video", [(-1, 0, 0, 0)] * 5 + [(7, 0, 0, 0)], (100, 100, 100)),
    ],
)
def test_golden_videos(name, rows, expected):
    found = corpus_metrics({"VR": [rows]}, [7], [[(10, 20)]])
    assert tuple(found[f"VR/R@{k}"] for k in (1, 5, 10)) == expected


def test_golden_mean_and_sum_of_videos():
    rankings = [ranking(7, 3, 5), ranking(3, 7, 5), ranking(1, 2, 3, 4, 5, 7)]
    found = corpus_metrics({"VR": rankings}, [7, 7, 7], [[(0, 1)]] * 3)
    expected = {"VR/R@1": 100 / 3, "VR/R@5": 200 / 3, "VR/R@10": 100, "VR/R@100": 100}
    assert found == pytest.approx(expected | {"VR/SumR": 300})


def test_nan_scores_go_to_the_end_in_their_order():
    rows = [(7, 10, 20, NAN), (7, 0, 1, -5), (7, 0, 2, INF), (7, 0, 3, NAN), (-1, 0, 0, -INF)]
    with np.errstate(all="raise"):
        found = in_corpus(rows)
    assert found["VCMR/R@1,IoU=0.5"] == 0 and found["VCMR/R@5,IoU=0.5"] == 100
    assert rank_rows([rows])[0, :, 2].tolist() == [1, 2, 20, 3, 0]


def test_only_nan_scores_keep_their_order_with_a_warning():
    rows = [(7, 10, 20, NAN), (7, 0, 1, NAN)]
    with pytest.warns(UserWarning, match="1 of 2 queries have only NaN scores; their order is"):
        ranked = rank_rows([rows, []])
    assert ranked[0, :, 2].tolist() == [20, 1] and np.isnan(ranked[1]).all()


def test_moments_are_rows():
    rng = np.random.default_rng(0)
    start, video = rng.integers(0, 9, (2, 5, 3))
    score = np.array([3.0, 2, -INF], np.float32)[None].repeat(5, 0)
    moments = Moments(start, start + 3, score, np.where(score > -INF, video, -1))
    rows = np.stack([moments.video, moments.start, moments.end, moments.score], -1)
    truths = [[(0, 3)]] * 5
    found = corpus_metrics({"VCMR": moments, "VR": moments}, video[:, 1], truths)
    assert found == corpus_metrics({"VR": rows, "VCMR": list(rows[:, :2])}, video[:, 1], truths)
    assert list(found)[0] == "VR/R@1" and list(found)[-1] == "VCMR/R@100,IoU=0.7"
    with pytest.raises(ValueError, match="these moments name no videos"):
        rank_rows(moments._replace(video=None))


@pytest.mark.parametrize(("annotators", "needed"), [(1, 1), (2, 1), (3, 1), (4, 2), (7, 2)])
def test_how_many_annotators_must_agree(annotators, needed):
    truths = [(20, 30)] * annotators
    for agreeing in range(min(3, annotators + 1)):
        marked = [(0, 5)] * agreeing + truths[agreeing:]
        iou = agreed_iou(np.array([[(0, 5)]]), [marked])
        assert iou.item() == (agreeing >= needed)


def plain_iou(start, end, truth):
    """IoU of two moments of positive length."""
    inter = min(end, truth[1]) - max(start, truth[0])
    return max(0, inter) / (max(end, truth[1]) - min(start, truth[0]))


def plain_recall(task, predictions, video, truths, k, p):
    """The recall of one task by plain loops, in percent; p is None for VR."""
    correct = 0
    for rows, true_video, windows in zip(predictions, video, truths, strict=True):
        if task == "VR":
            seen = list(dict.fromkeys(row[0] for row in rows))
            correct += true_video in seen[:k]
            continue
        rows = rows[:100]
        if task == "SVMR":
            rows = [row for row in rows if row[0] == true_video]
        needed = 2 if len(windows) >= 4 else 1
        correct += any(
            row[0] == true_video
            and sum(plain_iou(row[1], row[2], window) >= p for window in windows) >= needed
            for row in rows[:k]
        )
    return 100 * correct / len(predictions)


@pytest.mark.parametrize("annotators", [1, 3, 6])
def test_equals_plain_loops(annotators):
    rng = np.random.default_rng(annotators)
    queries, videos = 120, 9
    video = rng.integers(videos, size=queries)
    truths, tasks = [], {"VR": [], "SVMR": [], "VCMR": []}
    for _ in range(queries):
        start = rng.integers(0, 5, rng.integers(1, annotators + 1))
        truths.append(np.stack([start, start + rng.integers(1, 4, start.shape)], -1) * 5.0)
        for lists in tasks.values():
            count = int(rng.integers(0, 130))
            start = rng.integers(0, 6, count)
            end = start + rng.integers(1, 5, count)
            columns = (rng.integers(videos, size=count), start * 5.0, end * 5.0, np.zeros(count))
            lists.append(np.stack(columns, -1))
    found = corpus_metrics(tasks, video, truths)
    assert len(found) == 5 + 2 * 8
    for task, lists in tasks.items():
        for k in (1, 5, 10, 100):
            if task == "VR":
                expected = plain_recall(task, lists, video, truths, k, None)
                assert found[f"VR/R@{k}"] == pytest.approx(expected)
                continue
            for p in (0.5, 0.7):
                expected = plain_recall(task, lists, video, truths, k, p)
                assert found[f"{task}/R@{k},IoU={p}"] == pytest.approx(expected)


def planted(several):
    """48 queries on 6 videos, with 40 predictions each, by arithmetic alone."""
    video, truths, rows = [], [], []
    for query in range(48):
        video.append(query * 5 % 6)
        first = query * 7 % 5
        truths.append([(5.0 * first, 5.0 * (first + 1 + query % 2))])
        if several:
            shifted = (first + query % 3) % 6
            truths[-1] = truths[-1] * 2 + [(5.0 * shifted, 5.0 * shifted + 5.0)] * 2
        rows.append(
            listed(
                *[
                    (
                        (query + k * k * 5 + k // 4) % 6,
                        2.5 * ((query * 3 + k * 7) % 11),
                        2.5 * ((query * 3 + k * 7) % 11 + 1 + (query + k) % 4),
                    )
                    for k in range(40)
                ]
            )
        )
    return video, truths, rows


@pytest.mark.parametrize(
    ("several", "task", "half", "most"),
    [
        (False, "SVMR", (10, 31, 35, 35), (0, 8, 13, 13)),
        (False, "VCMR", (4, 7, 18, 35), (0, 0, 4, 13)),
        (True, "SVMR", (15, 38, 44, 44), (1, 12, 18, 18)),
        (True, "VCMR", (4, 11, 23, 44), (0, 1, 5, 18)),
    ],
)
def test_figures_of_the_official_script(several, task, half, most):
    """Correct queries of 48, as TVR's evaluator counts them on the same predictions."""
    video, truths, rows = planted(several)
    found = corpus_metrics({task: rows}, video, truths)
    for p, counts in ((0.5, half), (0.7, most)):
        for k, count in zip((1, 5, 10, 100), counts, strict=True):
            assert found[f"{task}/R@{k},IoU={p}"] == pytest.approx(100 * count / 48)


def test_a_whole_split_in_seconds():
    rng = np.random.default_rng(0)
    shape = (10_895, 100)
    start = rng.uniform(0, 60, shape)
    columns = (rng.integers(0, 2179, shape), start, start + 9, np.zeros(shape))
    rows = np.stack(columns, -1)
    truths = np.tile([[[10.0, 19.0]]], (len(rows), 1, 1))
    began = time.perf_counter()
    corpus_metrics({"VR": rows, "SVMR": rows, "VCMR": rows}, rows[:, 5, 0], truths)
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize(
    ("tasks", "video", "truths", "message"),
    [
        ({"AB": []}, [7], [[(0, 1)]], "unknown task 'AB'; known are VR, SVMR, VCMR"),
        ({"VR": []}, [7], [[(0, 1)]], "0 prediction lists of VR for 1 queries"),
        ({"VR": []}, [], [], "0 true videos for 0 queries; both need one"),
        ({"VR": [[]]}, [7, 8], [[(0, 1)]], "2 true videos for 1 queries; both need one"),
        (
            {"VR": [[(7, 0, 1)]]},
            [7],
            [[(0, 1)]],
            r"predictions of query 0 have shape \(1, 3\), not \(n, 4\)",
        ),
        ({"VR": [[]] * 2}, [7, 7], [[(0, 1)], []], "1 of 2 queries .*e.g. query q1: where the lab"),
        ({"VR": [[]] * 2}, [-1, 7], [[(0, 1)]] * 2, "1 of 2 queries have no .*e.g. query q0: wh"),
    ],
)
def test_refusals(tasks, video, truths, message):
    with pytest.raises(ValueError, match=message):
        corpus_metrics(tasks, video, truths, ["q0", "q1"])
