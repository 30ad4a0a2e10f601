"""VLANet's segment groups: a second grid over the pooling of test_proposals.py."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.layers.clip_spans import group_spans, pool_proposals, segment_groups


def _cells(groups, num_clips):
    """{(k, l): (start, end)} of the valid windows of one video."""
    start, end, valid = (x[0] for x in group_spans(groups, np.array([num_clips]), np))
    scales = len(groups.width)
    return {divmod(i, scales): (int(start[i]), int(end[i])) for i in range(len(valid)) if valid[i]}


def test_didemo_has_21_moments_and_15_in_a_shorter_video():
    groups = segment_groups(6, (1, 2, 3, 4, 5, 6), 1, cut=False)
    expected = {(k, w): (k, k + w + 1) for k in range(6) for w in range(6 - k)}
    assert _cells(groups, 6) == expected and len(expected) == 21
    assert _cells(groups, 5) == {c: s for c, s in expected.items() if s[1] <= 5}
    assert len(_cells(groups, 5)) == 15


def test_windows_are_cut_at_the_last_clip_and_hold_half_of_the_smallest():
    groups = segment_groups(24, (15, 11, 13), 8)
    assert groups.width.tolist() == [11, 13, 15]
    assert groups.start.tolist() == [0, 8, 16]  # at 24 no clip would be left
    assert _cells(groups, 20) == {
        (0, 0): (0, 11),
        (0, 1): (0, 13),
        (0, 2): (0, 15),
        (1, 0): (8, 19),
        (1, 1): (8, 20),
        (1, 2): (8, 20),
    }
    assert (2, 0) in _cells(groups, 22) and (2, 0) not in _cells(groups, 21)  # 6 and 5 clips


def test_the_smallest_window_of_the_first_group_is_always_valid():
    for cut in (True, False):
        groups = segment_groups(24, (11, 13), 8, cut)
        assert _cells(groups, 3) == {(0, 0): (0, 3)}
        assert _cells(groups, 0) == {}
    assert _cells(segment_groups(2, (11,), 8), 2) == {(0, 0): (0, 2)}


def test_a_stride_of_half_a_clip_is_rounded_to_the_nearest():
    groups = segment_groups(8, (4,), 0.5)
    assert groups.start.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]


@pytest.mark.parametrize(("stride", "mean"), [(4, 10.2), (6, 6.9), (8, 5.4)])
def test_the_mean_number_of_groups_a_video(stride, mean):
    """29.8 s at 24 frames a second and 16 frames a clip: 44.7 clips (VLANet V1)."""
    groups = segment_groups(128, (11, 13, 15), stride)
    lengths = np.round(np.random.default_rng(0).normal(29.8, 5.7, 4000) * 24 / 16).astype(int)
    valid = group_spans(groups, lengths, np)[2].reshape(len(lengths), -1, 3)
    assert abs(valid.any(-1).sum(-1).mean() - mean) < 0.25


@pytest.mark.parametrize(("widths", "stride"), [((), 8), ((0, 4), 8), ((4,), 0)])
def test_settings_that_make_no_windows_are_refused(widths, stride):
    with pytest.raises(ValueError, match="make no proposals: give at least one width"):
        segment_groups(16, widths, stride)


def test_jax_and_numpy_agree_and_padding_of_clips_changes_nothing():
    groups, longer = segment_groups(20, (3, 6, 9), 2), segment_groups(29, (3, 6, 9), 2)
    num_clips = np.arange(21)
    spans = group_spans(groups, num_clips, np)
    traced = jax.jit(lambda n: group_spans(groups, n))(num_clips)
    for one, other, padded in zip(spans, traced, group_spans(longer, num_clips, np), strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(one, padded[:, : one.shape[1]])
        assert not padded[:, one.shape[1] :].any()


def test_pooling_is_the_mean_of_the_clips_of_a_window():
    rng = np.random.default_rng(0)
    video = rng.standard_normal((3, 20, 5)).astype(np.float32)
    start, end, valid = group_spans(segment_groups(20, (3, 6, 9), 4), np.array([20, 13, 2]), np)
    pooled = np.asarray(pool_proposals(jnp.asarray(video), start, end))
    for b, p in np.ndindex(valid.shape):
        expected = video[b, start[b, p] : end[b, p]].mean(0) if valid[b, p] else np.zeros(5)
        np.testing.assert_allclose(pooled[b, p], expected, rtol=1e-5, atol=1e-6)
