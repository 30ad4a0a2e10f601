"""Moments from similarities: against plain loops, and what must not change them."""

import math

import numpy as np
import pytest

from vmr_jax.types import Moment
from vmr_jax.zero_shot.moments import (
    find_moments,
    lengths,
    normalise,
    score_spans,
    smooth,
    suppress,
)


def plain_moments(similarity, generic, times, duration, top_k):
    """The same by loops over frames and candidates."""
    n, flat = len(similarity), [g for row in generic for g in row]
    level = sum(flat) / len(flat)
    unit = math.sqrt(sum((g - level) ** 2 for g in flat) / len(flat))
    x = [(s - level) / unit for s in similarity]
    x = [(x[max(i - 1, 0)] + 2 * x[i] + x[min(i + 1, n - 1)]) / 4 for i in range(n)]
    mean, candidates = sum(x) / n, []
    for length in lengths(n):
        for begin in range(n - length + 1):
            excess = sum(x[begin : begin + length]) / length - mean
            candidates.append((math.sqrt(length) * excess, begin, begin + length))
    found = []
    for score, begin, end in sorted(candidates, key=lambda c: -c[0]):
        ious = [
            max(0, min(end, e) - max(begin, b)) / (max(end, e) - min(begin, b)) for _, b, e in found
        ]
        if score > 1e-12 and max(ious, default=0) <= 0.5 and len(found) < top_k:
            found.append((score, begin, end))
    borders = [0, *((a + b) / 2 for a, b in zip(times, times[1:], strict=False)), duration]
    return [(borders[b], borders[e], s) for s, b, e in found or [(0, 0, n)]]


def noise(frames, seed=0):
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 2, frames))
    return rng.normal(size=frames), rng.normal(size=(frames, 4)), times, times[-1] + 1


def bump(frames, *places):
    """Frames of similarity 0.1 with 0.3 in the places, a second each."""
    values = np.full(frames, 0.1)
    for begin, end in places:
        values[begin:end] = 0.3
    generic = np.tile([0.1, 0.2], (frames, 1))
    return values, generic, np.arange(frames) + 0.5, float(frames)


@pytest.mark.parametrize("frames", [2, 3, 7, 20, 41])
def test_they_are_those_of_plain_loops(frames):
    for seed in range(3):
        given = noise(frames, seed)
        np.testing.assert_allclose(
            find_moments(*given, top_k=6), plain_moments(*given, top_k=6), atol=1e-9
        )


def test_top_k_only_cuts_the_list():
    whole = find_moments(*noise(60), top_k=1000)
    assert len(whole) > 5
    for k in range(1, len(whole) + 2):
        assert find_moments(*noise(60), top_k=k) == whole[:k]


def test_a_shift_by_whole_frames_moves_the_borders_as_far():
    found = [find_moments(*bump(60, (10 + s, 18 + s)), top_k=1)[0] for s in range(0, 30)]
    assert (found[0].start_s, found[0].end_s) == (10, 18)
    for shift, moment in enumerate(found):
        assert (moment.start_s, moment.end_s) == (10 + shift, 18 + shift)
        assert moment.score == pytest.approx(found[0].score)


@pytest.mark.parametrize(("scale", "level"), [(1e-3, 0), (50, 0), (1, 7), (4, -2)])
def test_scale_and_level_of_the_similarities_do_not_matter(scale, level):
    similarity, generic, times, duration = noise(40)
    np.testing.assert_allclose(
        find_moments(scale * similarity + level, scale * generic + level, times, duration),
        find_moments(similarity, generic, times, duration),
        atol=1e-6,
    )


def test_two_moments_of_one_video_are_both_found():
    first, second, *_ = find_moments(*bump(80, (10, 18), (50, 58)))
    assert (first.start_s, first.end_s) == (10, 18)  # of equal ones the earlier
    assert (second.start_s, second.end_s) == (50, 58)


def test_times_need_not_be_regular_and_borders_lie_half_way():
    values, generic, times, duration = bump(40, (10, 18))
    (moment,) = find_moments(values, generic, times**1.5, 40**1.5, top_k=1)
    assert moment.start_s == pytest.approx((9.5**1.5 + 10.5**1.5) / 2)
    assert moment.end_s == pytest.approx((17.5**1.5 + 18.5**1.5) / 2)


def test_where_nothing_stands_out_it_is_the_whole_video():
    assert find_moments([0.3], [[0.1, 0.2]], [1.0], 2.0) == [Moment(0.0, 2.0, 0.0)]
    for level in (0.0, 0.1, -7.3):
        given = np.full(50, level), np.full((50, 3), 0.2), np.arange(50), 50.0
        assert find_moments(*given) == [Moment(0.0, 50.0, 0.0)]


def test_lengths_ascend_from_two_frames_to_the_whole_video():
    assert [lengths(n) for n in (1, 2, 3)] == [[1], [2], [2, 3]]
    assert lengths(20) == [2, 3, 4, 5, 6, 8, 10, 12, 15, 19, 20]
    assert len(lengths(100_000)) < 60


def test_the_parts():
    np.testing.assert_allclose(smooth(np.array([4.0, 0, 0, 8])), [3, 1, 2, 6])
    np.testing.assert_allclose(smooth(np.array([3.0])), [3])
    np.testing.assert_allclose(normalise(np.array([0.0, 3]), np.array([[0.0, 2], [2, 0]])), [-1, 2])
    spans, scores = score_spans(np.array([0.0, 0, 3, 3, 0, 0]))
    assert spans[scores.argmax()].tolist() == [2, 4]
    assert scores.max() == pytest.approx(2 * math.sqrt(2))
    spans = np.array([[0, 4], [0, 2], [1, 4], [4, 8]])  # IoU of the first two is 0.5
    assert suppress(spans, np.array([4.0, 3, 2, 1]), 9).tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"similarity": [1, np.nan]}, "the similarity of frame 1 is not finite"),
        ({"generic": [[np.inf], [0]]}, "the generic similarity of frame 0 is not finite"),
        ({"generic": [[1.0]]}, r"generic prompts of shape \(1, 1\); needed is \(2, prompts\)"),
        ({"similarity": []}, "a frame at least"),
        ({"times": [1, 1]}, "times of frames are finite seconds from 0 on that ascend"),
        ({"duration": np.nan}, "times of frames are finite"),
        ({"top_k": 0}, "top_k is 0; expected 1 or more"),
    ],
)
def test_what_cannot_be_read_is_refused(changed, message):
    given = {"similarity": [0, 1], "generic": [[1], [0]], "times": [0, 1], "duration": 2.0}
    with pytest.raises(ValueError, match=message):
        find_moments(**given | changed)
