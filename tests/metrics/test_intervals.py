"""Bootstrap intervals: against the spread of means, pairs, and videos as units."""

import numpy as np

from vmr_jax.metrics.intervals import bootstrap_intervals, paired_intervals

RNG = np.random.default_rng(3)


def test_an_interval_is_twice_the_standard_error_on_both_sides():
    hits = (RNG.uniform(size=1000) < 0.3).astype(float)
    low, high = bootstrap_intervals({"R": hits}, np.arange(1000))["R"]
    error = 100 * hits.std() / np.sqrt(1000)
    np.testing.assert_allclose(
        [low, high], 100 * hits.mean() + 1.96 * error * np.array([-1, 1]), atol=0.4
    )


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
