"""Bootstrap intervals: against the spread of means, pairs, and videos as units."""

import itertools

import numpy as np
import pytest

from vmr_jax.metrics.didemo import split_query_metrics
from vmr_jax.metrics.intervals import (
    DRAWS,
    bootstrap_intervals,
    method_intervals,
    paired_intervals,
    paired_p_values,
    seeds_interval,
)

RNG = np.random.default_rng(3)


def test_an_interval_is_twice_the_standard_error_on_both_sides():
    hits = (RNG.uniform(size=1000) < 0.3).astype(float)
    low, high = bootstrap_intervals({"R": hits}, np.arange(1000))["R"]
    error = 100 * hits.std() / np.sqrt(1000)
    np.testing.assert_allclose(
        [low, high], 100 * hits.mean() + 1.96 * error * np.array([-1, 1]), atol=0.4
    )


def test_many_videos_are_drawn_in_groups_with_the_same_spread():
    values = RNG.uniform(size=20_000) ** 2
    low, high = bootstrap_intervals({"R": values}, np.arange(20_000))["R"]
    error = 100 * values.std() / np.sqrt(20_000)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert low < 100 * values.mean() < high


def test_queries_of_one_video_are_one_unit():
    of_videos = (RNG.uniform(size=50) < 0.5).astype(float)
    video = np.repeat(np.arange(50), 20)
    alone = bootstrap_intervals({"R": of_videos}, np.arange(50))["R"]
    assert bootstrap_intervals({"R": of_videos[video]}, video)["R"] == alone


def test_a_pair_is_resolved_where_both_figures_are_not():
    first = (RNG.uniform(size=400) < 0.5).astype(float)
    second = np.where(np.arange(400) < 20, 0, first)  # never better
    video = np.arange(400)
    alone = [bootstrap_intervals({"R": x}, video)["R"] for x in (first, second)]
    assert alone[0][0] < alone[1][1]  # they overlap
    low, high = paired_intervals({"R": first, "S": first}, {"R": second}, video)["R"]
    assert 0 < low < 100 * (first - second).mean() < high
    assert paired_intervals({"R": first}, {"R": first}, video) == {"R": [0.0, 0.0]}


def test_left_out_queries_do_not_count_and_one_video_has_no_interval():
    hits = np.array([1.0, 1.0, 0.0, 0.0])
    kept = [True, True, False, False]
    assert bootstrap_intervals({"R": hits}, [0, 1, 2, 3], kept) == {"R": [100.0, 100.0]}
    assert np.isnan(bootstrap_intervals({"R": hits}, [7, 7, 7, 7])["R"]).all()


def test_a_metric_leaves_out_the_queries_it_does_not_count():
    hits = (RNG.uniform(size=300) < 0.5).astype(float)
    some = np.where(np.arange(300) < 100, hits, np.nan)
    found = bootstrap_intervals({"all": hits, "some": some}, np.arange(300))
    assert found["all"] == bootstrap_intervals({"all": hits}, np.arange(300))["all"]
    low, high = found["some"]
    mean, error = 100 * hits[:100].mean(), 100 * hits[:100].std() / 10
    np.testing.assert_allclose([low, high], [mean - 1.96 * error, mean + 1.96 * error], atol=1.5)


def test_p_values_are_the_share_of_exchanges_that_reach_the_difference():
    values = np.array([[0.9, 0.2], [0.8, 0.5], [0.7, 0.9], [1.0, 0.4], [0.6, 0.5], [0.3, 0.1]])
    video = np.array([0, 0, 1, 2, 3, 4])
    of_video = np.bincount(video, values[:, 0] - values[:, 1])
    exchanged = [abs(np.dot(signs, of_video)) for signs in itertools.product((1, -1), repeat=5)]
    exact = np.mean(np.array(exchanged) >= abs(of_video.sum()) - 1e-9)
    found = paired_p_values({"R": values[:, 0]}, {"R": values[:, 1]}, video)["R"]
    assert found == pytest.approx(exact, abs=0.03)
    same = paired_p_values({"R": values[:, 0]}, {"R": values[:, 0]}, video)["R"]
    assert same == 1
    clear = paired_p_values({"R": np.ones(50)}, {"R": np.zeros(50)}, np.arange(50))["R"]
    assert clear == 1 / (DRAWS + 1)


def test_didemos_own_metric_has_intervals():
    truths = [np.array([[0, 5.0]] * 4)] * 10
    rows = [[(5 * i, 5 * j, -i - j) for i in range(6) for j in range(i + 1, 7)]] * 10
    values = split_query_metrics(rows, truths, np.full(10, 30.0), didemo="official")
    found = method_intervals({"model": values}, range(10))
    assert found["model"]["rank@1"] == found["model"]["mIoU"] == [100, 100]


def test_intervals_of_methods_are_those_of_each_alone():
    first, second = RNG.uniform(size=(2, 60))
    video = np.repeat(np.arange(20), 3)
    values = {"model": {"R": first}, "linear_match": {"R": second}, "random": {"R": second / 2}}
    found = method_intervals(values, video)
    for method, own in values.items():
        assert found[method] == bootstrap_intervals(own, video)
    paired = paired_intervals({"R": first}, {"R": second}, video)
    assert found["model - linear_match"] == paired and len(found) == 4


def test_a_difference_over_seeds_is_the_pairs_where_seeds_agree_and_wider_where_not():
    first = (RNG.uniform(size=200) < 0.6).astype(float)
    second = np.where(RNG.uniform(size=200) < 0.2, 1 - first, first)
    video = np.repeat(np.arange(40), 5)
    expected = paired_intervals({"R": first}, {"R": second}, video)["R"]
    for seeds in (1, 3):
        found = seeds_interval(np.stack([first] * seeds), np.stack([second] * seeds), video)
        np.testing.assert_allclose(found, expected, atol=1e-9)
    lucky = np.stack([first, np.ones(200), np.zeros(200)])
    low, high = seeds_interval(lucky, np.stack([second] * 2), video)
    assert high - low > 2 * (expected[1] - expected[0])


def test_seeds_alone_spread_as_draws_of_them_do():
    of_seeds, rows = np.array([0.2, 0.5, 0.9]), np.ones((1, 60))
    low, high = seeds_interval(of_seeds[:, None] * rows, 0 * rows, np.arange(60))
    means = [np.mean(chosen) for chosen in itertools.product(of_seeds, repeat=3)]
    np.testing.assert_allclose([low, high], [100 * min(means), 100 * max(means)], atol=1e-9)
