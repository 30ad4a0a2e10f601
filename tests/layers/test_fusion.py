"""The fusion layer: C videos of a query attend its words, each video by itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.models import prem_cases as cases
from tests.models import prem_reference as reference
from vmr_jax.layers.fusion import FusionLayer

SIZES = {"width": 8, "heads": 2, "hidden": 12, "activation": jax.nn.relu, "epsilon": 1e-5}


@pytest.fixture(scope="module")
def case():
    """Parameters, clips, words and their masks."""
    rng = np.random.default_rng(0)
    x, words = rng.standard_normal((2, 3, 5, 8)), rng.standard_normal((2, 4, 8))
    x, words = x.astype(np.float32), words.astype(np.float32)
    mask = np.arange(5) < np.array([[5, 2, 1], [3, 5, 0]])[..., None]
    word_mask = np.arange(4) < np.array([[4], [2]])
    layer = FusionLayer(**SIZES)
    shapes = jax.eval_shape(
        lambda k: _run(layer, None, k, x, words, mask, word_mask), jax.random.key(0)
    )
    params = jax.tree.map(lambda s: 0.5 * rng.standard_normal(s.shape).astype(np.float32), shapes)
    return params, x, words, mask, word_mask


def _run(layer, params, key, x, words, mask, word_mask):
    """The layer's output, or with `params` None its fresh parameters."""
    whole = lambda m: m(x, mask, m.memory(words), word_mask, key)  # noqa: E731
    if params is None:
        return layer.init(key, method=whole)["params"]
    return layer.apply({"params": params}, method=whole)


@pytest.fixture(scope="module")
def plain(case):
    """The output without dropout."""
    run = jax.jit(lambda params: _run(FusionLayer(**SIZES), params, None, *case[1:]))
    return np.asarray(run(case[0]))


def test_each_video_is_fused_as_the_formulas_say(case, plain):
    params, x, words, mask, word_mask = case
    p = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)
    assert np.isfinite(plain).all()
    for b, c in np.ndindex(2, 3):
        if mask[b, c].any():
            expected = reference.fuse(
                p, cases.config(), x[b, c][mask[b, c]], words[b][word_mask[b]]
            )
            np.testing.assert_allclose(plain[b, c][mask[b, c]], expected, rtol=2e-4, atol=1e-5)


def test_dropout_is_of_every_part_and_needs_a_key(case, plain):
    layer, params = FusionLayer(**SIZES, dropout=0.5), case[0]
    run = jax.jit(lambda key: _run(layer, params, key, *case[1:]))
    one, two = (run(key) for key in jax.random.split(jax.random.key(0)))
    same = jax.jit(lambda: _run(layer, params, None, *case[1:]))()
    np.testing.assert_allclose(same, plain, rtol=1e-5, atol=1e-6)
    assert not np.allclose(one, two) and not np.allclose(one, plain)


def test_bfloat16_is_near_float32(case, plain):
    half = FusionLayer(**SIZES, dtype=jnp.bfloat16)
    found = jax.jit(lambda p: _run(half, p, None, *case[1:]))(case[0])
    assert found.dtype == jnp.bfloat16
    np.testing.assert_allclose(found.astype(np.float32), plain, atol=0.2)
