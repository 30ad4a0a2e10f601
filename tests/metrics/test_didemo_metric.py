"""DiDeMo's own metric: the golden table X, a plain loop, refusals, and the real files' figures."""

import itertools
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations
from vmr_jax.metrics.baselines import baseline_values
from vmr_jax.metrics.didemo import (
    MOMENTS,
    SEGMENT,
    annotated_segments,
    didemo_metrics,
    legend,
    moment_frequency_prior,
    random_rankings,
    split_metrics,
)
from vmr_jax.metrics.moments import moment_metrics

REAL = os.environ.get("VMR_DATA_DIR")
CANONICAL = [(i, i) for i in range(6)] + list(itertools.combinations(range(6), 2))
AS_X6 = [(2, 3), (2, 2), (3, 3), (1, 3), (2, 4)]


def seconds(*segments):
    """Inclusive segment indices as moments in seconds, (n, 2)."""
    return 5.0 * (np.array(segments).reshape(-1, 2) + (0, 1))


def ranking(*first, rest=CANONICAL):
    """`first`, then the canonical list without them, as predictions."""
    order = [*first, *(moment for moment in rest if moment not in first)]
    return np.column_stack([seconds(*order), -np.arange(len(order))])


def test_the_canonical_list():
    assert [tuple(moment) for moment in MOMENTS] == CANONICAL and len(MOMENTS) == 21


# first moments, annotations, mean rank, IoU term, rank@1, rank@5
GOLDEN = {
    "X1": ([(0, 0)], [(0, 0)] * 4, 1, 1, 1, 1),
    "X2": ([(0, 0)], [(0, 0)] * 3 + [(5, 5)], 1, 1, 1, 1),
    "X3": ([(0, 0)], [(0, 0)] * 2 + [(1, 1)] * 2, 4 / 3, 2 / 3, 0, 1),
    "X4": ([(1, 1), (0, 1), (0, 0)], [(0, 1)] * 3 + [(1, 1)], 5 / 3, 2 / 3, 0, 1),
    "X5": ([(0, 5)], [(0, 0), (1, 1), (2, 2), (3, 3)], 3, 1 / 6, 0, 1),
    "X6": (AS_X6, [(2, 2), (2, 3), (2, 4), (0, 5)], 8 / 3, (1 + 2 / 3 + 0.5) / 3, 0, 1),
    "X7": (AS_X6, [(2, 4)] * 3 + [(2, 3)], 11 / 3, 7 / 9, 0, 1),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name):
    first, annotations, mean_rank, iou, rank1, rank5 = GOLDEN[name]
    found = didemo_metrics([ranking(*first)], [seconds(*annotations)], "official")
    assert found == pytest.approx({"rank@1": 100 * rank1, "rank@5": 100 * rank5, "mIoU": 100 * iou})
    assert plain_terms(ranking(*first), seconds(*annotations)) == pytest.approx((mean_rank, iou))


def test_golden_mean():
    queries = [GOLDEN[name] for name in ("X1", "X2", "X3")]
    found = didemo_metrics(
        [ranking(*query[0]) for query in queries],
        [seconds(*query[1]) for query in queries],
        "official",
    )
    assert found == pytest.approx({"rank@1": 200 / 3, "rank@5": 100, "mIoU": 800 / 9})


def plain_terms(rows, truths, counting=3):
    """Mean rank and IoU of one query, one moment and annotator after the other."""
    order = sorted(range(len(rows)), key=lambda row: -rows[row][2])
    ranked = [(round(rows[row][0] / 5), round(rows[row][1] / 5) - 1) for row in order]
    ranks, ious = [], []
    for start, end in truths:
        a, b = round(start / 5), round(end / 5) - 1
        first, last = ranked[0]
        inter = max(0, min(b, last) + 1 - max(a, first))
        ious.append(inter / (max(b, last) + 1 - min(a, first)))
        ranks.append(ranked.index((a, b)) + 1)
    best = sorted(ranks)[:counting]
    largest = sorted(ious, reverse=True)[:counting]
    return sum(best) / len(best), sum(largest) / len(largest)


@pytest.mark.parametrize(("rule", "counting"), [("official", 3), ("any", 1)])
def test_equals_the_plain_loop(rule, counting):
    rng = np.random.default_rng(3)
    predictions, truths = [], []
    for query in range(300):
        segments = 5 if query % 4 == 0 else 6  # a short video ranks its own 15 moments
        own = MOMENTS[MOMENTS[:, 1] < segments]
        rows = np.column_stack([seconds(*own), rng.integers(0, 8, len(own))])  # many ties
        rows[:, :2] += rng.uniform(-0.04, 0.04, (len(own), 2))
        predictions.append(rows[rng.permutation(len(own))])
        near = own[rng.integers(0, len(own), 2)]  # annotators agree now and then
        truths.append(seconds(*near[rng.integers(0, 2, rng.choice([1, 2, 3, 4, 4, 5, 7]))]))
    terms = np.array([plain_terms(*q, counting) for q in zip(predictions, truths, strict=True)])
    assert didemo_metrics(predictions, truths, rule) == pytest.approx(
        {
            "rank@1": 100 * np.mean(terms[:, 0] <= 1),
            "rank@5": 100 * np.mean(terms[:, 0] <= 5),
            "mIoU": 100 * np.mean(terms[:, 1]),
        }
    )


def test_the_best_three_of_more_than_four():
    annotations = seconds((0, 0), (5, 5), (0, 0), (4, 5), (2, 2), (0, 0), (3, 3))
    found = didemo_metrics([ranking((0, 0))], [annotations], "official")
    assert found == {"rank@1": 100, "rank@5": 100, "mIoU": 100}


def test_any_takes_the_best_annotator():
    rows, annotations = ranking((0, 1)), seconds((0, 1), (5, 5), (5, 5), (5, 5))
    assert didemo_metrics([rows], [annotations], "any") == {
        "rank@1": 100,
        "rank@5": 100,
        "mIoU": 100,
    }
    # Ranks 1, 7, 7 and IoUs 1, 0, 0.
    official = didemo_metrics([rows], [annotations], "official")
    assert official == pytest.approx({"rank@1": 0, "rank@5": 100, "mIoU": 100 / 3})


def test_equal_scores_keep_their_order():
    rows = ranking((0, 0))
    rows[:, 2] = 0.5
    truths = [seconds(*[(0, 0)] * 4)]
    assert didemo_metrics([rows], truths, "official")["rank@1"] == 100
    assert didemo_metrics([rows[::-1]], truths, "official")["rank@5"] == 0


def test_scores_rank_and_not_the_rows():
    rows = ranking((0, 0))[::-1]
    assert didemo_metrics([rows], [seconds(*[(0, 0)] * 4)], "official")["rank@1"] == 100


def error_of(predictions, truths, rule="official", ids=None):
    """The message of the refusal."""
    with pytest.raises(ValueError) as found:
        didemo_metrics(predictions, truths, rule, ids)
    return str(found.value)


@pytest.mark.parametrize(
    ("start", "end"),
    [(0.2, 5), (5, 9.5), (5, 5), (10, 5), (-5, 5), (25, 35), (np.nan, 5), (0, np.inf)],
)
def test_moments_off_the_grid(start, end):
    rows = [ranking(), np.vstack([ranking(), (start, end, -50.0)])]
    truths = [seconds((0, 0)), seconds((0, 0))]
    message = error_of(rows, truths, ids=["11", "22"])
    assert f"predicted moment [{start:g}, {end:g}] s of query 22 is not made" in message
    assert "features of one row a segment" in message
    message = error_of([ranking()], [[(0, 5), (start, end)]])
    assert f"annotated moment [{start:g}, {end:g}] s of query 0 is not made" in message


def test_one_percent_of_a_segment_is_still_on_the_grid():
    rows = ranking((1, 1))
    rows[0, :2] += (0.049, -0.049)
    found = didemo_metrics([rows], [seconds((1, 1))], "official")
    assert found == {"rank@1": 100, "rank@5": 100, "mIoU": 100}


def test_an_annotated_moment_that_is_not_ranked():
    truths = [seconds((0, 0)), seconds((0, 0), (0, 1)), seconds((2, 2))]
    rows = [ranking(), ranking(rest=CANONICAL[:6]), np.zeros((0, 3))]
    message = error_of(rows, truths, ids=["a", "b", "c"])
    assert message.startswith(
        "2 of 3 queries do not rank each annotated moment, e.g. query b not [0, 10] s among its 6:"
    )
    assert "all 21 moments (15 in a video of five segments)" in message
    assert "query 0 not [10, 15] s among its 0" in error_of(rows[2:], truths[2:])


def test_other_refusals():
    truths = [seconds((0, 0))]
    assert error_of([ranking()], truths, "best") == (
        "the rule is 'best'; it must be one of official, any"
    )
    assert error_of([], truths) == "0 prediction lists for 1 queries"
    assert error_of([], []) == "there is no query to score"
    hidden = [*truths, np.zeros((0, 2))]
    assert error_of([ranking()] * 2, hidden) == "query 1 has no annotated moment"
    assert "shape" in error_of([ranking()[:, :2]], truths)


def test_beside_the_other_metrics():
    rows, truths = [ranking((0, 1))], [seconds((0, 1), (0, 0), (0, 0), (0, 0))]
    plain = moment_metrics(rows, truths, [30.0], discounted=True)
    assert split_metrics(rows, truths, [30.0], discounted=True) == plain
    both = split_metrics(rows, truths, [30.0], discounted=True, didemo="official")
    official = didemo_metrics(rows, truths, "official")
    assert both == plain | official and list(both)[-3:] == ["rank@1", "rank@5", "mIoU"]
    assert plain["mIoU"] == 100 and both["mIoU"] == pytest.approx(200 / 3)
    assert "best three annotators" in legend("official") and "IoU: best" in legend("any")


def test_moment_frequency_prior():
    training = [
        seconds((1, 2), (1, 2), (3, 3)),
        np.zeros((0, 2)),
        seconds((5, 5), (5, 5), (1, 2), (0, 0)),
    ]
    prior = moment_frequency_prior(training)
    order = [(1, 2), (5, 5), (0, 0), (3, 3)]  # then those that nobody marked
    np.testing.assert_array_equal(prior[:, :2], ranking(*order)[:, :2])
    np.testing.assert_allclose(prior[:5, 2] * 7, [3, 2, 1, 1, 0])
    with pytest.raises(ValueError, match="none of 2 training queries has a moment"):
        moment_frequency_prior([np.zeros((0, 2))] * 2)
    with pytest.raises(ValueError, match="of query 1 is not made of"):
        moment_frequency_prior([[], [(0, 3)]])


def test_random_rankings():
    rows = random_rankings(4000, 7)
    assert rows.shape == (4000, 21, 3)
    segments = annotated_segments(list(rows[..., :2]), range(4000))
    assert all(len({tuple(s) for s in query}) == 21 for query in segments[:50])
    first = Counter(map(tuple, segments[:, 0]))
    assert len(first) == 21 and max(first.values()) < 1.5 * 4000 / 21
    assert (np.diff(rows[..., 2]) < 0).all()
    np.testing.assert_array_equal(rows, random_rankings(4000, 7))
    assert (rows != random_rankings(4000, 8)).any()


def test_baselines_rank_the_moments():
    truths = [seconds((2, 2), (2, 2), (2, 2), (0, 5))]
    settings = {"didemo": "official"}
    found = baseline_values(truths, np.array([30.0]), (truths, np.array([30.0])), **settings)
    assert found["location_prior"]["rank@1"] == 1
    assert found["location_prior"]["R@1,IoU=0.7"] == 1
    assert list(found["random"]) == list(found["location_prior"])
    unlearnt = ([np.zeros((0, 2))], np.array([30.0]))
    assert list(baseline_values(truths, np.array([30.0]), unlearnt, **settings)) == ["random"]


@pytest.fixture(scope="module")
def real():
    """The truths of the real validation and test descriptions."""
    if not REAL:
        pytest.skip("VMR_DATA_DIR is not set")
    splits = read_annotations("didemo", Path(REAL, "didemo")).splits
    return {name: [r.moments for r in records] for name, records in splits.items()}


@pytest.mark.parametrize(
    ("split", "figures"), [("test", (0.7476, 1, 0.9605)), ("val", (0.7481, 1, 0.9604))]
)
def test_annotator_oracle(real, split, figures):
    """Moments ranked by how many annotators marked them: the published upper bound."""
    rows = []
    for windows in real[split]:
        votes = Counter(map(tuple, (windows / SEGMENT - (0, 1)).astype(int)))
        rows.append(ranking(*sorted(votes, key=lambda moment: -votes[moment])))
    found = didemo_metrics(rows, real[split], "official")
    assert [round(value / 100, 4) for value in found.values()] == list(figures)


def test_baselines_near_the_published(real):
    """The prior of the paper learns from the training split: 18.68, 68.68, 25.22 on val."""
    training = (real["val"], np.full(len(real["val"]), 30.0))
    durations = np.full(len(real["test"]), 30.0)
    found = baseline_values(real["test"], durations, training, didemo="official")
    random, prior = (
        [100 * found[method][name].mean() for name in ("rank@1", "rank@5", "mIoU")]
        for method in ("random", "location_prior")
    )
    np.testing.assert_allclose(random, [3.75, 22.50, 22.64], atol=0.3)
    np.testing.assert_allclose(prior, [19.40, 68.12, 25.42], atol=0.005)
