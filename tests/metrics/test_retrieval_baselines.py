"""The baselines of a corpus: against lists drawn at random, and values that can be worked out."""

import numpy as np
import pytest

from vmr_jax.metrics.baselines import (
    fit_location_prior,
    location_prior_predictions,
    random_predictions,
)
from vmr_jax.metrics.retrieval import corpus_metrics
from vmr_jax.metrics.retrieval_baselines import (
    corpus_baselines,
    location_prior_corpus_metrics,
    random_corpus_metrics,
)

WHOLE = [[(0.0, 9.0)]] * 2000  # the truth is the whole video of 9 s


def in_random_videos(moments, videos, seed):
    """One moment (Q, 2) in each of the videos, in a random order, as predictions of a corpus."""
    rng = np.random.default_rng(seed)
    order = rng.permuted(np.tile(np.arange(videos), (len(moments), 1)), axis=1)
    rows = np.zeros((len(moments), videos, 4))
    rows[..., 0], rows[..., 1:3] = order, moments[:, None]
    return rows


def test_random_can_be_worked_out():
    # IoU with [0, T] is the length |u - v|, and P(|u - v| >= p) = (1 - p)^2.
    found = random_corpus_metrics(WHOLE, np.full(2000, 9.0), 40)
    assert [found[f"VR/R@{k}"] for k in (1, 5, 10, 100)] == [2.5, 12.5, 25, 100]
    assert found["VR/SumR"] == 140
    assert found["SVMR/R@1,IoU=0.5"] == pytest.approx(25, abs=1)
    assert found["SVMR/R@5,IoU=0.7"] == pytest.approx(100 * (1 - 0.91**5), abs=1)
    assert found["VCMR/R@1,IoU=0.5"] == pytest.approx(25 / 40, abs=0.03)
    assert found["VCMR/R@100,IoU=0.7"] == pytest.approx(9, abs=0.5)
    assert found == random_corpus_metrics(WHOLE, np.full(2000, 9.0), 40)
    assert found != random_corpus_metrics(WHOLE, np.full(2000, 9.0), 40, seed=1)


def test_one_video():
    found = random_corpus_metrics(WHOLE, np.full(2000, 9.0), 1)
    assert found["VR/SumR"] == 400
    assert found["VCMR/R@100,IoU=0.5"] == found["SVMR/R@1,IoU=0.5"]


@pytest.mark.parametrize("annotators", [1, 4])
def test_expectations_are_those_of_drawn_lists(annotators):
    rng = np.random.default_rng(0)
    queries, videos = 3000, 12
    durations = rng.uniform(10, 30, queries)
    truths = rng.uniform(size=(queries, annotators, 2))
    truths = np.sort(truths, axis=-1) * durations[:, None, None]
    found = random_corpus_metrics(truths, durations, videos)
    prior = fit_location_prior(truths, durations, 3)
    placed = location_prior_corpus_metrics(prior, truths, durations, videos)
    guesses = location_prior_predictions(prior, durations)
    singles = np.insert(guesses, 0, 0, axis=-1)
    assert list(placed) == list(found)

    drawn, prior_drawn = [], []
    for seed in range(8):
        moments = random_predictions(durations, 1, seed)[:, 0, :2]
        lists = {"VR": (rows := in_random_videos(moments, videos, seed)), "VCMR": rows}
        drawn.append(corpus_metrics(lists, np.zeros(queries), truths))
        lists = {"VCMR": in_random_videos(guesses[:, 0, :2], videos, seed), "SVMR": singles}
        prior_drawn.append(corpus_metrics(lists, np.zeros(queries), truths))
    for name in drawn[0]:
        assert found[name] == pytest.approx(np.mean([d[name] for d in drawn]), abs=1)
    for name in prior_drawn[0]:
        assert placed[name] == pytest.approx(np.mean([d[name] for d in prior_drawn]), abs=1)
    exact = [name for name in prior_drawn[0] if name.startswith("SVMR")]
    assert {n: placed[n] for n in exact} == {n: prior_drawn[0][n] for n in exact}


def test_both_where_the_prior_can_be_learnt():
    truths, durations = WHOLE[:30], np.full(30, 9.0)
    training = ([[(0.0, 5.0)], np.zeros((0, 2))], np.array([5.0, 5.0]))
    found = corpus_baselines(truths, durations, 10, training)
    assert list(found) == ["random", "location_prior"]
    assert found["location_prior"]["SVMR/R@1,IoU=0.7"] == 100
    assert found["location_prior"]["VCMR/R@5,IoU=0.7"] == 50
    for untaught in (None, ([np.zeros((0, 2))], np.array([5.0]))):
        assert list(corpus_baselines(truths, durations, 10, untaught)) == ["random"]


def test_refusal():
    with pytest.raises(ValueError, match="a corpus of 0 videos: it needs at least one"):
        random_corpus_metrics(WHOLE[:1], [9.0], 0)
