import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.first_parameters import init
from tests.gradients import check_gradients
from vmr_jax.models.eva.modules import (
    AttentionUnit,
    BoundaryHead,
    CrossAttention,
    MatchingHead,
    SelfAttention,
)

DIM = 8


def _rows(seed=0):
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((3, 5, DIM)).astype(np.float32)
    x = rng.standard_normal((3, 4, DIM)).astype(np.float32)
    y_mask = np.arange(5) < np.array([[5], [3], [0]])
    x_mask = np.arange(4) < np.array([[2], [4], [0]])
    return y * y_mask[..., None], x * x_mask[..., None], y_mask, x_mask


def _literal_unit(params, y, x, y_mask, x_mask, heads=1, layer_norm="none"):
    """Eq. 1 as printed, one head and one row at a time, in float64."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float64), params)
    out = np.zeros(y.shape)
    width = DIM // heads
    for b in range(len(y)):
        valid = np.flatnonzero(x_mask[b])
        for row in np.flatnonzero(y_mask[b]):
            mixed = np.zeros(DIM)
            for h in range(heads):
                part = slice(h * width, (h + 1) * width)
                query = y[b, row] @ p["query"][:, part]
                keys, values = x[b, valid] @ p["key"][:, part], x[b, valid] @ p["value"][:, part]
                if len(valid):
                    score = np.exp(keys @ query / width**0.5)
                    mixed[part] = score / score.sum() @ values
            out[b, row] = (y[b, row] + mixed) @ p["fc_kernel"] + p["fc_bias"]
            if layer_norm == "post":
                centred = out[b, row] - out[b, row].mean()
                out[b, row] = centred / np.sqrt((centred**2).mean() + 1e-6)
    return out


@pytest.mark.parametrize(("heads", "layer_norm"), [(1, "none"), (2, "none"), (4, "post")])
def test_the_unit_equals_eq_1(heads, layer_norm):
    inputs = _rows()
    unit = AttentionUnit(DIM, heads=heads, layer_norm=layer_norm)
    params = init(unit, *inputs)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.1, params) if layer_norm == "none" else params
    out = jax.jit(unit.apply)({"params": params}, *inputs)
    expected = _literal_unit(params, *inputs, heads, layer_norm)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    assert not np.asarray(out)[~inputs[2]].any()


@pytest.mark.parametrize("sequential", [False, True])
@pytest.mark.parametrize("heads", [1, 2])
def test_cross_attention_equals_two_literal_units(sequential, heads):
    video, query, video_mask, query_mask = _rows(1)
    cross = CrossAttention(functools.partial(AttentionUnit, DIM, heads=heads), sequential)
    inputs = video, video_mask, query, query_mask
    params = init(cross, *inputs)["params"]
    rows, words = jax.jit(cross.apply)({"params": params}, *inputs)
    new = _literal_unit(params["video"], video, query, video_mask, query_mask, heads)
    np.testing.assert_allclose(rows, new, atol=1e-5)
    attended = new if sequential else video
    expected = _literal_unit(params["query"], query, attended, query_mask, video_mask, heads)
    np.testing.assert_allclose(words, expected, atol=1e-5)


def test_a_re_paired_item_equals_the_pair_from_scratch():
    video, query, video_mask, query_mask = _rows(2)
    cross = CrossAttention(functools.partial(AttentionUnit, DIM))
    inputs = video, video_mask, query, query_mask
    variables = init(cross, *inputs)
    video_side, query_side = cross.apply(variables, *inputs, method="prepare")
    index = np.array([1, 0, 1])
    moved = jax.tree.map(lambda leaf: leaf[index], query_side)
    out = cross.apply(variables, video_side, moved, method="meet")
    again = cross.apply(variables, video, video_mask, query[index], query_mask[index])
    for one, other in zip(out, again, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_parameters_of_a_unit():
    unit = AttentionUnit(256)
    rows, mask = jnp.zeros((1, 2, 256)), jnp.ones((1, 2), bool)
    shapes = jax.eval_shape(unit.init, jax.random.key(0), rows, rows, mask, mask)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 262_400


def test_dropout_is_on_with_a_key_only_and_differs_between_modalities():
    video, query, video_mask, query_mask = _rows(3)
    module = SelfAttention(functools.partial(AttentionUnit, DIM, dropout=0.5))
    inputs = video, video_mask, query, query_mask
    variables = init(module, *inputs)
    run = jax.jit(module.apply)
    plain, again = run(variables, *inputs), run(variables, *inputs)
    np.testing.assert_array_equal(plain[0], again[0])
    dropped = run(variables, *inputs, jax.random.key(1))
    for out, noisy, mask in zip(plain, dropped, (video_mask, query_mask), strict=True):
        zero = np.asarray(noisy)[mask] == 0
        assert 0.2 < zero.mean() < 0.8
        np.testing.assert_allclose(np.asarray(noisy)[mask][~zero], 2 * np.asarray(out)[mask][~zero])


def test_gradients_of_a_unit():
    y, x, y_mask, x_mask = (leaf[:2] for leaf in _rows(4))
    unit = AttentionUnit(DIM, heads=2)
    variables = init(unit, y, x, y_mask, x_mask)

    def total(variables, y, x):
        return jnp.sum(jnp.sin(unit.apply(variables, y, x, y_mask, x_mask)))

    check_gradients(total, (variables, y, x), atol=1e-2, rtol=1e-2)


def test_a_unit_in_bfloat16_computes_in_bfloat16_with_float32_parameters():
    inputs = _rows(5)
    unit = AttentionUnit(DIM, dtype=jnp.bfloat16)
    variables = init(unit, *inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    y, x = (leaf.astype(jnp.bfloat16) for leaf in inputs[:2])
    out = jax.jit(unit.apply)(variables, y, x, *inputs[2:])
    assert out.dtype == jnp.bfloat16
    expected = _literal_unit(variables["params"], *inputs)
    np.testing.assert_allclose(out.astype(np.float32), expected, atol=0.1)


def _clips_and_words():
    rng = np.random.default_rng(0)
    video = rng.standard_normal((2, 7, DIM)).astype(np.float32)
    query = rng.standard_normal((2, 4, DIM)).astype(np.float32)
    return video, np.arange(7) < [[7], [4]], query, np.arange(4) < [[2], [4]]


def test_the_boundary_head_equals_its_formulas():
    video, video_mask, query, query_mask = inputs = _clips_and_words()
    head = BoundaryHead(DIM)
    params = init(head, *inputs)["params"]
    out = head.apply({"params": params}, *inputs)
    p = jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float64), params)
    for b in range(2):
        words, clips = query[b, query_mask[b]], video[b, video_mask[b]]
        score = np.exp(words @ p["word_score"]["kernel"][:, 0])
        sentence = score / score.sum() @ words @ p["fc"]["kernel"] + p["fc"]["bias"]
        similarity = np.zeros(7)
        similarity[: len(clips)] = clips @ sentence
        np.testing.assert_allclose(out.similarity[b], similarity, atol=1e-5)
        for name in ("start", "end"):
            expected = np.correlate(similarity, p[name][:, 0, 0], mode="same")
            logits = np.asarray(getattr(out, name)[b])
            np.testing.assert_allclose(logits[video_mask[b]], expected[video_mask[b]], atol=1e-5)
            assert (logits[~video_mask[b]] == -1e10).all()


def test_parameters_of_the_boundary_head():
    rows, mask = jnp.zeros((1, 1, 256)), jnp.ones((1, 1), bool)
    shapes = jax.eval_shape(BoundaryHead(256).init, jax.random.key(0), rows, mask, rows, mask)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 256 + 65_792 + 10


def _literal_head(params, rows, query):
    """Eq. 3 with every joint vector j_k built, in float64."""
    p = jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float64), params)
    query = np.broadcast_to(query[:, None], rows.shape)
    both = np.concatenate([rows, query], -1)
    joint = both @ p["fc_kernel"] + p["fc_bias"] if "fc_kernel" in p else both
    joint = np.concatenate([rows + query, rows * query, joint], -1)
    return (joint @ p["scorer"])[..., 0] + p["bias"]


@pytest.mark.parametrize(("fc_out", "width"), [("d", 3), ("2d", 4), ("identity", 4)])
def test_the_collapsed_matching_head_equals_eq_3(fc_out, width):
    rng = np.random.default_rng(0)
    rows, query = rng.standard_normal((3, 5, DIM)), rng.standard_normal((3, DIM))
    rows, query = rows.astype(np.float32), query.astype(np.float32)
    head = MatchingHead(DIM, fc_out=fc_out)
    params = init(head, rows, query)["params"]
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    assert params["scorer"].shape == (width * DIM, 1)
    logits = head.apply({"params": params}, rows, query)
    np.testing.assert_allclose(logits, _literal_head(params, rows, query), atol=1e-5)


def test_parameters_of_the_matching_head():
    shapes = jax.eval_shape(
        MatchingHead(256).init, jax.random.key(0), jnp.zeros((1, 1, 256)), jnp.zeros((1, 256))
    )
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 131_328 + 769
