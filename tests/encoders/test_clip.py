from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.first_parameters import init
from vmr_jax.encoders.clip import ClipImage, ClipImageConfig, ClipText, ClipTextConfig

TEXT = ClipTextConfig(vocabulary=60, context=12, width=64, layers=2, heads=4, projection=32)
IMAGE = ClipImageConfig(size=64, patch=32, width=64, layers=2, heads=4, projection=32)
IDS = np.array([[58, 7, 9, 11, 13, 59, 3, 59, 4, 58], [58, 5, 59, 3, 0, 0, 0, 0, 0, 0]])
ALL, NONE = np.ones(IDS.shape, bool), np.zeros(IDS.shape, bool)


def _loss(params, **options):
    features = ClipText(TEXT, **options).apply({"params": params}, jnp.asarray(IDS))
    return jnp.sum(features * jnp.linspace(-1, 1, TEXT.projection)), features


def _value_and_gradient(params, **options):
    (_, features), gradient = jax.jit(
        jax.value_and_grad(lambda p: _loss(p, **options), has_aux=True)
    )(params)
    return features, gradient


@pytest.fixture(scope="module")
def params():
    return init(ClipText(TEXT), jnp.asarray(IDS))["params"]


@pytest.fixture(scope="module")
def plain(params):
    """Features and gradients in float32, with nothing hidden or replaced."""
    return _value_and_gradient(params)


@jax.jit
def _apply(params, *inputs):
    return ClipText(TEXT).apply({"params": params}, *inputs)


def _encode(params, ids=IDS, visible=ALL, replaced=NONE, embeddings=None):
    rows = np.zeros((*ids.shape, TEXT.width), np.float32) if embeddings is None else embeddings
    return np.asarray(_apply(params, ids, visible, (replaced, rows)))


def _count(shapes):
    return sum(leaf.size for leaf in jax.tree.leaves(shapes))


def test_parameters_of_vit_b_32():
    ids, pixels = jnp.zeros((1, 77), jnp.int32), jnp.zeros((1, 224, 224, 3))
    text = jax.eval_shape(ClipText().init, jax.random.key(0), ids)
    image = jax.eval_shape(ClipImage().init, jax.random.key(0), pixels)
    assert _count(text) == 63_428_096
    assert _count(text) + _count(image) + 1 == 151_277_313  # with the scale of the logits


def test_nothing_after_the_end_of_text_counts(params, plain):
    features, gradient = plain
    other = IDS.copy()
    other[0, 6:] = 0
    other[1, 3:] = 59
    np.testing.assert_allclose(_encode(params, other), features, atol=1e-6)
    short = _apply(params, IDS[:, :6], None, None)
    np.testing.assert_allclose(short, features, atol=1e-6)
    assert not np.asarray(gradient["tokens"])[[0, 3, 4]].any()
    assert not np.asarray(gradient["positions"])[6:].any()
    assert np.asarray(gradient["tokens"])[[5, 7, 13, 58, 59]].any(axis=1).all()


def test_words_have_an_influence_and_an_order(params, plain):
    other = IDS.copy()
    other[0, 1:3] = other[0, 2:0:-1]
    changed = np.abs(_encode(params, other) - plain[0]).max(axis=1)
    assert changed[0] > 1e-3
    assert changed[1] < 1e-6


def test_hidden_tokens_have_no_influence_and_keep_their_positions(params, plain):
    visible = ALL.copy()
    visible[0, 2:4] = False
    other, dropped = IDS.copy(), IDS.copy()
    other[0, 2:4] = [20, 21]
    dropped[0, 2:8] = IDS[0, 4:]
    hidden = _encode(params, IDS, visible)
    np.testing.assert_allclose(_encode(params, other, visible), hidden, atol=1e-6)
    for different in (plain[0], _encode(params, dropped)):
        assert np.abs(different - hidden)[0].max() > 1e-3
    np.testing.assert_allclose(hidden[1], plain[0][1], atol=1e-6)


def test_a_replacement_stands_for_the_ids(params, plain):
    replaced = NONE.copy()
    replaced[0, 2:4] = True
    other = np.where(replaced, 20, IDS)
    features = _encode(params, IDS, ALL, replaced, np.asarray(params["tokens"])[other])
    np.testing.assert_allclose(features, _encode(params, other), atol=1e-6)
    one = _apply(params, IDS, None, (replaced, params["tokens"][20]))
    np.testing.assert_allclose(one, features, atol=1e-6)
    assert np.abs(features - plain[0])[0].max() > 1e-3


def test_passes_stacked_on_the_batch_axis_are_the_same_passes(params, plain):
    visible = ALL.copy()
    visible[:, 1] = False
    hidden = _encode(params, IDS, visible)
    twice = np.stack([IDS[0], IDS[0]])
    stacked = _encode(params, twice, np.stack([visible[0], ALL[0]]))
    np.testing.assert_allclose(stacked, np.stack([hidden[0], plain[0][0]]), atol=1e-6)


def test_rematerialisation_changes_nothing(params, plain):
    features, gradient = _value_and_gradient(params, remat=True)
    np.testing.assert_allclose(features, plain[0], atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), gradient, plain[1]
    )


def test_bfloat16_is_near_float32(params, plain):
    module = ClipText(TEXT, dtype=jnp.bfloat16)
    started = jax.eval_shape(module.init, jax.random.key(0), jnp.asarray(IDS))
    assert {leaf.dtype for leaf in jax.tree.leaves(started)} == {jnp.dtype("float32")}
    features, gradient = _value_and_gradient(params, dtype=jnp.bfloat16)
    assert features.dtype == jnp.float32
    assert 1e-6 < np.abs(features - plain[0]).max() < 0.03 * np.abs(plain[0]).max()
    for one, reference in zip(jax.tree.leaves(gradient), jax.tree.leaves(plain[1]), strict=True):
        assert np.abs(one - reference).max() < 0.05 * np.abs(reference).max() + 1e-3


def test_sentences_longer_than_the_context_are_refused(params):
    with pytest.raises(ValueError, match="13 tokens a sentence, but .* positions for 12: token"):
        _apply(params, np.zeros((1, 13), np.int32), None, None)


def test_images():
    images = np.random.default_rng(0).normal(size=(2, 64, 64, 3)).astype(np.float32)
    params = init(ClipImage(IMAGE), images)
    float32, half = (
        jax.jit(ClipImage(IMAGE, dtype=dtype).apply)(params, images)
        for dtype in (jnp.float32, jnp.bfloat16)
    )
    assert [part.shape for part in float32] == [(2, 32), (2, 4, 32), (2, 4, 64)]
    for one, reference in zip(half, float32, strict=True):
        assert one.dtype == jnp.float32
        assert 1e-6 < np.abs(one - reference).max() < 0.05 * np.abs(reference).max()
    alone = jax.jit(partial(ClipImage(IMAGE).apply, method="class_token"))(params, images)
    np.testing.assert_allclose(alone, float32.image, atol=1e-5)
    with pytest.raises(ValueError, match=r"images of shape \(32, 64, 3\), expected \(64, 64, 3\)"):
        ClipImage(IMAGE).apply(params, images[:, :32])
