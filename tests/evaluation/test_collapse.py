"""What has learnt nothing is said, what has is left alone."""

import numpy as np

from vmr_jax.evaluation.collapse import signs_of_collapse

FINE = {
    "model": {"R@1,IoU=0.5": 40.0},
    "location_prior": {"R@1,IoU=0.5": 20.0},
    "intervals": {"model": {"R@1,IoU=0.5": [35.0, 45.0]}},
}


def moments(spread):
    """Ten queries of five moments whose scores vary by `spread` of the largest."""
    rows = np.zeros((10, 5, 3))
    rows[..., 2] = -0.998 * (1 - spread * np.arange(5) / 4)
    return list(rows)


def test_a_healthy_system_is_left_alone():
    assert signs_of_collapse(moments(0.1), FINE) == []
    assert signs_of_collapse(moments(0.1), {"model": {"R@1,IoU=0.5": 1.0}}) == []  # no prior


def test_equal_scores_are_said():
    (line,) = signs_of_collapse(moments(5e-4), FINE)
    assert "all but equal (they vary by 5.0e-04 of the largest)" in line
    assert "--config.target.normalize=sqrt_standardize" in line
    half = moments(0.0)[:4] + moments(0.1)[:6]
    assert signs_of_collapse(half, FINE) == []


def test_one_moment_a_query_varies_by_nothing_and_says_nothing():
    assert signs_of_collapse([rows[:1] for rows in moments(0.0)], FINE) == []


def test_a_result_within_its_interval_of_the_blind_one_is_said():
    near = FINE | {"intervals": {"model": {"R@1,IoU=0.5": [19.0, 61.0]}}}
    (line,) = signs_of_collapse(moments(0.1), near)
    assert line.startswith("warning: R@1,IoU=0.5 40.0 is not above location_prior (20.0)")
