"""A run asked in windows: a moment comes out whole wherever it lies; nothing is found twice."""

from types import SimpleNamespace

import numpy as np
import pytest

from vmr_jax.evaluation.windows import predict_in_windows
from vmr_jax.types import Moment

MOST = 8  # clips that the run reads


class Bumps:
    """A run that finds the clips of what it is given that are 1, rating cut ones highest."""

    spec = SimpleNamespace(max_clips=MOST)

    def __init__(self, sampling="cut"):
        self.config = SimpleNamespace(target=SimpleNamespace(clip_sampling=sampling))
        self.asked = []

    def predict(self, features, query, *, duration, top_k=None):
        self.asked.append(len(features))
        edges = np.flatnonzero(np.diff([0, *features[:, 0], 0])).reshape(-1, 2)
        clip = duration / len(features)
        found = [Moment(a * clip, b * clip, 1 / (b - a)) for a, b in edges.tolist()]
        return [sorted(found, key=lambda one: -one.score)[:top_k] for _ in query]


@pytest.mark.parametrize("count", [9, 12, 13, 29])
@pytest.mark.parametrize("length", [1, 2, 3, 4])
def test_a_moment_comes_out_whole_at_every_offset(count, length):
    for begin in range(count - length + 1):
        features = np.zeros((count, 1))
        features[begin : begin + length] = 1
        (found,) = predict_in_windows(Bumps(), features, ["a door"], duration=2.0 * count)
        assert [one[:2] for one in found] == [pytest.approx((2.0 * begin, 2.0 * (begin + length)))]


def test_all_moments_are_found_once_and_cut_to_the_best():
    features = np.zeros((40, 1))
    for begin, length in ((0, 1), (6, 3), (20, 2), (36, 4)):
        features[begin : begin + length] = 1
    asked = ["a", "b"]
    found = predict_in_windows(Bumps(), features, asked, duration=40.0)
    assert [one[:2] for one in found[1]] == [(0, 1), (20, 22), (6, 9), (36, 40)]
    assert predict_in_windows(Bumps(), features, asked, duration=40.0, top_k=2)[0] == found[0][:2]


@pytest.mark.parametrize(("count", "sampling"), [(MOST, "cut"), (20, "uniform")])
def test_what_a_run_reads_whole_is_asked_once(count, sampling):
    run = Bumps(sampling)
    predict_in_windows(run, np.ones((count, 1)), ["a"], duration=20.0)
    assert run.asked == [count]
