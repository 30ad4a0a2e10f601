from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.decoding.ranking import rank_moments


def _rank(**settings):
    batch = SimpleNamespace(num_clips=jnp.array([8, 4]), duration=jnp.array([16.0, 6.0]))
    start = jnp.array([[0, 1, 4, 0], [0, 2, 2, 0]])
    end = jnp.array([[4, 4, 8, 0], [2, 4, 6, 0]])
    score = jnp.array([[0.2, 0.9, 0.5, -jnp.inf], [0.3, 0.2, 0.1, -jnp.inf]])
    block = {"top_k": 3, "nms": 1.0, "clip_to_duration": False} | settings
    ranked = rank_moments(start, end, score, batch, SimpleNamespace(**block))
    return jax.tree.map(np.asarray, ranked)


def test_spans_become_seconds_best_first():
    found = _rank()
    np.testing.assert_allclose(found.start, [[2, 8, 0], [0, 3, 3]])
    np.testing.assert_allclose(found.end, [[8, 16, 8], [3, 6, 9]])
    np.testing.assert_allclose(found.score, [[0.9, 0.5, 0.2], [0.3, 0.2, 0.1]])


def test_suppression_padding_and_clipping():
    found = _rank(nms=0.6, clip_to_duration=True)
    np.testing.assert_allclose(found.start[0, :2], [2, 8])  # 0 to 8 s overlaps 2 to 8 s by 0.75
    assert np.isneginf(found.score[0, 2])
    np.testing.assert_allclose(found.end[1], [3, 6, 0])
    assert (_rank(clip_to_duration=True).end[1] <= 6).all()
