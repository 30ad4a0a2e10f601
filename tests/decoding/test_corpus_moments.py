import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.decoding.corpus_moments_cases import PLAIN, rank_slowly
from vmr_jax.decoding.corpus_moments import Readout, best_moments, readout


def case(rng, counts, clips, whole_numbers=False):
    """Logits of one query; with whole numbers many scores are equal."""
    videos = len(counts)
    mask = np.arange(clips) < np.asarray(counts)[:, None]
    draw = lambda *shape: (  # noqa: E731
        rng.integers(-2, 3, shape) if whole_numbers else rng.normal(size=shape)
    ).astype(np.float32)
    start, end = (np.where(mask, draw(videos, clips), -1e10).astype(np.float32) for _ in "se")
    score = -np.sort(-draw(videos))
    duration = (np.asarray(counts) * 1.5 - rng.uniform(0, 1, videos)).astype(np.float32)
    return start, end, mask, score, rng.permutation(99)[:videos].astype(np.int32), duration


@pytest.mark.parametrize("whole_numbers", [False, True])
@pytest.mark.parametrize("limits", [(0, 3), (2, 4), (3, 50), (0, 0), (9, 9)])
def test_ranks_as_a_plain_loop(limits, whole_numbers):
    rng = np.random.default_rng(0)
    settings = Readout(*limits, keep=30, clip_seconds=1.5, video_weight=0.5, temperature=0.25)
    cases = [case(rng, rng.integers(0, 9, 5), 8, whole_numbers) for _ in range(4)]
    found = best_moments(*(np.stack(part) for part in zip(*cases, strict=True)), settings)
    found = jax.device_get(found)
    for item, one in enumerate(cases):
        slow = rank_slowly(*one, settings)
        kept = ~np.isneginf(found.score[item])
        got = [x[item][kept] for x in (found.video, found.start, found.end)]
        assert kept.sum() == len(slow) and kept[: len(slow)].all()
        if slow:
            np.testing.assert_array_equal(got[0], [video for video, *_ in slow])
            np.testing.assert_allclose(np.stack(got[1:], 1), [m[1:3] for m in slow], rtol=1e-6)
            np.testing.assert_allclose(found.score[item][kept], [m[3] for m in slow], atol=1e-5)
        assert (found.video[item][~kept] == -1).all()


def log(*probabilities):
    return jnp.log(jnp.array(probabilities))[None, None]


@pytest.mark.parametrize(
    ("start", "end", "limits", "count", "best", "product"),
    [
        ((0.7, 0.2, 0.1), (0.1, 0.2, 0.7), (0, 2), 3, (0, 2), 0.49),  # S1
        ((0.7, 0.2, 0.1), (0.1, 0.2, 0.7), (0, 1), 3, (0, 1), 0.14),  # S2
        ((0.1, 0.2, 0.7), (0.7, 0.2, 0.1), (0, 2), 3, (0, 0), 0.07),  # S3
        ((1.0,), (1.0,), (0, 23), 1, (0, 0), 1),  # S4
        ((7 / 9, 2 / 9, 0.5), (1 / 3, 2 / 3, 0.9), (0, 2), 2, (0, 1), 14 / 27),  # S5
        ((0.5, 0.5), (0.5, 0.5), (3, 5), 2, (0, 1), 0.25),  # S6
    ],
)
def test_golden_rows_of_the_start_end_search(start, end, limits, count, best, product):
    mask = jnp.arange(len(start))[None, None] < count
    settings = PLAIN._replace(min_l=limits[0], max_l=limits[1])
    zero, row = jnp.zeros((1, 1)), jnp.zeros((1, 1), jnp.int32)
    found = best_moments(log(*start), log(*end), mask, zero, row, zero + 100, settings)
    assert (float(found.start[0, 0]), float(found.end[0, 0])) == (best[0], best[1] + 1)
    np.testing.assert_allclose(found.score[0, 0], np.log(product), atol=1e-6)
    if limits[0] == 3:
        assert np.isneginf(found.score[0, 1:]).all()


def test_spec_prem_check_7():
    settings = PLAIN._replace(temperature=0.01)
    one = jnp.ones((1, 1, 1))
    found = best_moments(
        one, -2 * one, one > 0, jnp.full((1, 1), 0.25), jnp.array([[5]]), one[0], settings
    )
    np.testing.assert_allclose(found.score[:, 0], [24.0], rtol=1e-6)
    assert int(found.video[0, 0]) == 5


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_video_that_is_missing_has_no_moment(weight):
    """Where the corpus is smaller than what is retrieved, its score is -inf."""
    logits = jnp.array([[[1.0, 2], [3, 4]]])
    mask = jnp.array([[[True, True], [False, False]]])
    score, row = jnp.array([[0.5, -jnp.inf]]), jnp.array([[7, -1]])
    settings = PLAIN._replace(video_weight=weight)
    found = best_moments(logits, logits, mask, score, row, jnp.array([[2.0, 0]]), settings)
    np.testing.assert_allclose(found.score[0, :3], weight * 0.5 + np.array([4, 3, 2]))
    assert found.video[0].tolist() == [7, 7, 7, *[-1] * (found.video.shape[1] - 3)]
    assert np.isneginf(found.score[0, 3:]).all()


def test_settings_of_a_config():
    config = ConfigDict(
        {
            "infer": {"min_l": 0, "max_l": 23, "keep": 100},
            "score": {"video_weight": 1.0},
            "clip_seconds": 1.5,
            "temperature": 0.01,
        }
    )
    assert readout(config) == Readout(0, 23, 100, 1.5, 1.0, 0.01)
    config.infer.max_l = -1
    with pytest.raises(ValueError, match="min_l <= max_l"):
        readout(config)
