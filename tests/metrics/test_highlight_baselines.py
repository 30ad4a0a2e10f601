"""Saliency without looking: the prior of places, the draws, and figures on real annotations."""

import os
from pathlib import Path

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations
from vmr_jax.evaluation.labels import ratings_of
from vmr_jax.metrics.highlight_baselines import (
    STEPS,
    fit_position_prior,
    highlight_baseline_values,
    position_prior_saliency,
    random_saliency,
)
from vmr_jax.metrics.highlights import NAMES, highlight_metrics

REAL = os.environ.get("VMR_DATA_DIR")
NONE = np.zeros((0, 3))


def rated(*ratings):
    return np.array(ratings, float)[:, None]


def test_the_prior_is_the_mean_rating_of_a_place():
    first, second = rated(4, 0), rated(0, 0, 4, 4)
    prior = fit_position_prior([first, NONE, second])
    places = (np.arange(STEPS) + 0.5) / STEPS
    quarters = np.interp(places, [1 / 8, 3 / 8, 5 / 8, 7 / 8], [0, 0, 4, 4])
    np.testing.assert_allclose(prior, (np.interp(places, [1 / 4, 3 / 4], [4, 0]) + quarters) / 2)
    whole, half = position_prior_saliency(prior, [STEPS, 2])
    np.testing.assert_allclose(whole, prior)
    np.testing.assert_allclose(half, [np.interp(p, places, prior) for p in (0.25, 0.75)])
    with pytest.raises(ValueError, match="none of 2 training queries has ratings"):
        fit_position_prior([NONE, NONE])


def test_draws_are_seeded_and_of_each_video():
    drawn = random_saliency([3, 0, 5], 1)
    assert list(map(len, drawn)) == [3, 0, 5]
    again = random_saliency([3, 0, 5], 1)
    for one, other in zip(drawn, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_figures_beside_the_expected_ones():
    # One of four clips is very good: a draw hits it a quarter of the time.
    ratings = [rated(1, 4, 0, 2)] * 2000 + [NONE]
    found = highlight_baseline_values(ratings, [rated(0, 4, 0, 0)])
    assert found["random"]["HL-min-VeryGood-Hit1"][:-1].mean() == pytest.approx(0.25, abs=0.01)
    expected = np.mean([1, 1 / 2, 1 / 3, 1 / 4])  # AP of one relevant clip at rank 1 to 4
    assert found["random"]["HL-min-VeryGood-mAP"][:-1].mean() == pytest.approx(expected, abs=0.01)
    assert (found["location_prior"]["HL-min-VeryGood-Hit1"][:-1] == 1).all()
    assert all(np.isnan(own[-1]) for of in found.values() for own in of.values())
    assert list(highlight_baseline_values(ratings[:3], [NONE])) == ["random"]


@pytest.mark.skipif(not REAL, reason="VMR_DATA_DIR is not set")
def test_the_prior_beats_draws_on_qvhighlights():
    folder = Path(str(REAL), "golden", "moment_detr_qvhighlights")
    splits = read_annotations("qvhighlights", folder).splits
    ratings = ratings_of(splits["val"])
    learnt, asked = ratings[::2], ratings[1::2]
    found = highlight_baseline_values(asked, learnt)
    prior = position_prior_saliency(fit_position_prior(learnt), list(map(len, asked)))
    direct = highlight_metrics(prior, asked)
    assert set(found["random"]) == set(direct) == set(NAMES)
    for name, own in found["location_prior"].items():
        np.testing.assert_array_equal(own, direct[name])
        print(name, 100 * np.nanmean(own), 100 * np.nanmean(found["random"][name]))
