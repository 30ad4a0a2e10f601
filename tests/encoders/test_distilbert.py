import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.first_parameters import init
from vmr_jax.encoders.distilbert import DistilBert, DistilBertConfig

SMALL = DistilBertConfig(vocabulary=60, context=8, width=64, layers=2, heads=4)
IDS = np.array([[2, 7, 9, 11, 3, 33, 34], [2, 5, 6, 7, 8, 9, 3]])  # 33 and 34 are padding
MASK = np.array([[1, 1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 1, 1]], bool)


@functools.partial(jax.jit, static_argnames="dtype")
def _apply(params, ids, mask, key=None, dtype=jnp.float32):
    return DistilBert(SMALL, dtype=dtype).apply({"params": params}, ids, mask, key)


@functools.partial(jax.jit, static_argnames="remat")
@jax.grad
def _gradient(params, key, remat):
    rows = DistilBert(SMALL, remat=remat).apply({"params": params}, IDS, MASK, key)
    return jnp.sum(jnp.where(MASK[..., None], rows, 0) ** 3)


@pytest.fixture(scope="module")
def params():
    return init(DistilBert(SMALL), IDS, MASK)["params"]


@pytest.fixture(scope="module")
def gradient(params):
    return _gradient(params, jax.random.key(3), remat=False)


def test_parameters_of_the_base_model():
    ids = jnp.zeros((1, 4), jnp.int32)
    shapes = jax.eval_shape(DistilBert().init, jax.random.key(0), ids, ids == 0)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 66_362_880


def test_padding_has_no_influence(params, gradient):
    rows = _apply(params, IDS, MASK)
    other = np.where(MASK, IDS, 0)
    np.testing.assert_allclose(_apply(params, other, MASK)[MASK], rows[MASK], atol=1e-6)
    tokens = np.asarray(gradient["tokens"])
    assert not tokens[[33, 34]].any()
    assert tokens[[2, 7, 11, 3]].any(axis=1).all()


def test_dropout_follows_its_key(params):
    rows = _apply(params, IDS, MASK)
    dropped, same, other = (_apply(params, IDS, MASK, jax.random.key(s)) for s in (1, 1, 2))
    np.testing.assert_array_equal(same, dropped)
    assert np.abs(dropped - rows).max() > 0.05
    assert np.abs(dropped - other).max() > 0.05


def test_rematerialisation_changes_nothing(params, gradient):
    again = _gradient(params, jax.random.key(3), remat=True)
    for ours, theirs in zip(*map(jax.tree.leaves, (again, gradient)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6 * np.abs(theirs).max())


def test_bfloat16_is_near_float32(params):
    rows, half = (_apply(params, IDS, MASK, dtype=dtype) for dtype in (jnp.float32, jnp.bfloat16))
    assert half.dtype == jnp.float32
    assert 1e-6 < np.abs(half - rows).max() < 0.03 * np.abs(rows).max()


def test_sentences_longer_than_the_context_are_refused(params):
    with pytest.raises(ValueError, match="9 tokens a sentence, but .* positions for 8: tokenise"):
        _apply(params, np.zeros((1, 9), np.int32), np.ones((1, 9), bool))
