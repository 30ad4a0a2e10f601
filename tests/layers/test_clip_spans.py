import jax
import numpy as np
import pytest

from vmr_jax.layers.clip_spans import seconds_to_clips, split_clips

CLIP = 1.5


@pytest.mark.parametrize(
    ("moment", "span", "back"),
    [
        ((3.2, 7.6), (2, 5), (3.0, 9.0)),
        ((5, 9), (3, 5), (4.5, 9.0)),
        ((0, 1.5), (0, 0), (0.0, 1.5)),
        ((10, 200), (6, 19), (9.0, 30.0)),
        ((3, 3), (2, 2), (3.0, 4.5)),
    ],
)
def test_worked_moments(moment, span, back):
    found = np.asarray(seconds_to_clips(np.float32([moment]), np.array([20]), CLIP))[0]
    assert tuple(found.tolist()) == span
    assert (CLIP * found[0], CLIP * (found[1] + 1)) == back


def test_ceil_is_a_clip_later_within_the_video():
    moments = np.float32([[3.2, 7.6], [5, 9], [10, 200], [20, 30]])
    found = seconds_to_clips(moments, np.array([20, 20, 20, 4]), CLIP, "ceil")
    assert np.asarray(found).tolist() == [[2, 6], [3, 6], [6, 19], [3, 3]]


def test_times_on_a_clips_edge_belong_to_it_in_every_program():
    edge = np.arange(1, 2000)
    moments = (CLIP * np.stack([edge, edge + 1], -1)).astype(np.float32)
    count = np.full(len(edge), 5000)
    for run in (seconds_to_clips, jax.jit(seconds_to_clips, static_argnums=2)):
        np.testing.assert_array_equal(run(moments, count, CLIP), np.stack([edge, edge], -1))


def test_padding_gives_a_clip_in_range():
    hidden = np.full((2, 2), np.nan, np.float32)
    found = np.asarray(seconds_to_clips(hidden, np.array([3, 0]), CLIP))
    assert (found >= 0).all() and (found[0] <= 2).all() and (found[1] == 0).all()


def test_clips_are_inside_outside_or_padding():
    mask = np.arange(4) < np.array([[3], [4], [2]])
    inside, outside = split_clips(np.array([[1, 2], [-1, -1], [0, 1]]), mask)
    expected = [[0, 1, 1, 0], [0, 0, 0, 0], [1, 1, 0, 0]]
    np.testing.assert_array_equal(inside, np.array(expected, bool))
    np.testing.assert_array_equal(outside, mask & ~np.array(expected, bool))
