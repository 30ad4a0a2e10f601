"""The layers of the DETR family beside PyTorch's with the same weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.models.detr import layers

D, H, HIDDEN = 8, 2, 12
SIZES = (D, H, HIDDEN, 0.0)
B, N, M, Q = 2, 5, 4, 3


def rows(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def mask(*counts, length=N):
    return np.arange(length) < np.array(counts)[:, None]


def random_params(module, *arguments):
    """Parameters of a module, all random: also biases and norms."""
    params = jax.eval_shape(lambda key: module.init(key, *arguments), jax.random.key(0))["params"]
    leaves, tree = jax.tree.flatten(params)
    made = [0.5 * rows(seed, *leaf.shape) for seed, leaf in enumerate(leaves)]
    return jax.tree.unflatten(tree, made)


def applied(module, params, *arguments):
    return np.asarray(jax.jit(module.apply)({"params": params}, *arguments, None))


def as_torch(torch, *arrays):
    return [torch.tensor(np.asarray(array)) for array in arrays]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch", reason="parity needs torch: pip install -e '.[dev]'")


def fill(torch, parameter, array):
    with torch.no_grad():
        parameter.copy_(torch.tensor(np.asarray(array)))


def linear(torch, module, params):
    params = params["Dense_0"]
    fill(torch, module.weight, params["kernel"].T)
    fill(torch, module.bias, params["bias"])


def norm(torch, module, params):
    fill(torch, module.weight, params["scale"])
    fill(torch, module.bias, params["bias"])


def attention(torch, module, params):
    parts = [params[name]["Dense_0"] for name in ("query", "key", "value")]
    fill(torch, module.in_proj_weight, np.concatenate([p["kernel"].T for p in parts]))
    fill(torch, module.in_proj_bias, np.concatenate([p["bias"] for p in parts]))
    linear(torch, module.out_proj, params["out"])


def torch_linear(torch, params):
    kernel = params["Dense_0"]["kernel"]
    module = torch.nn.Linear(*kernel.shape)
    linear(torch, module, params)
    return module


def torch_norm(torch, params):
    module = torch.nn.LayerNorm(D)
    norm(torch, module, params)
    return module


def feed_forward(torch, params, x):
    first, last = (torch_linear(torch, params[f"Linear_{i}"]) for i in range(2))
    return last(torch.relu(first(x)))


def close(ours, theirs):
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-5, atol=1e-5)


def test_self_attention_is_pytorchs_encoder_layer(torch):
    x, seen = rows(1, B, N, D), mask(5, 3)
    module = layers.EncoderLayer(*SIZES)
    arguments = (x, 0.0, x, 0.0, seen)
    params = random_params(module, *arguments, None)
    theirs = torch.nn.TransformerEncoderLayer(D, H, HIDDEN, 0.0, batch_first=True)
    attention(torch, theirs.self_attn, params["Attention_0"])
    for ours, other in (("LayerNorm_0", theirs.norm1), ("LayerNorm_1", theirs.norm2)):
        norm(torch, other, params[ours])
    linear(torch, theirs.linear1, params["FeedForward_0"]["Linear_0"])
    linear(torch, theirs.linear2, params["FeedForward_0"]["Linear_1"])
    there = theirs(torch.tensor(x), src_key_padding_mask=~torch.tensor(seen))
    close(applied(module, params, *arguments)[seen], there[torch.tensor(seen)])


@pytest.mark.parametrize("keep_sum", [False, True])
def test_cross_attention_reads_words_and_adds_positions(torch, keep_sum):
    x, place, words = rows(1, B, N, D), rows(2, B, N, D), rows(3, B, M, D)
    there = mask(4, 2, length=M)
    module = layers.EncoderLayer(*SIZES, keep_sum=keep_sum)
    arguments = (x, place, words, 0.0, there)
    params = random_params(module, *arguments, None)
    theirs = torch.nn.MultiheadAttention(D, H, batch_first=True)
    attention(torch, theirs, params["Attention_0"])
    x, place, words, there = as_torch(torch, x, place, words, there)
    total = x + theirs(x + place, words, words, key_padding_mask=~there)[0]
    first = torch_norm(torch, params["LayerNorm_0"])(total)
    made = feed_forward(torch, params["FeedForward_0"], first)
    expected = torch_norm(torch, params["LayerNorm_1"])((total if keep_sum else first) + made)
    close(applied(module, params, *arguments), expected)


def test_slots_are_pytorchs_decoder_layer(torch):
    x, memory, seen = rows(1, B, Q, D), rows(2, B, N, D), mask(5, 3)
    module = layers.DecoderLayer(*SIZES)
    zero = np.zeros_like(x)
    arguments = (x, zero, memory, np.zeros_like(memory), seen)
    params = random_params(module, *arguments, None)
    theirs = torch.nn.TransformerDecoderLayer(D, H, HIDDEN, 0.0, batch_first=True)
    attention(torch, theirs.self_attn, params["Attention_0"])
    attention(torch, theirs.multihead_attn, params["Attention_1"])
    for i in range(3):
        norm(torch, getattr(theirs, f"norm{i + 1}"), params[f"LayerNorm_{i}"])
    linear(torch, theirs.linear1, params["FeedForward_0"]["Linear_0"])
    linear(torch, theirs.linear2, params["FeedForward_0"]["Linear_1"])
    tensors = as_torch(torch, x, memory)
    expected = theirs(*tensors, memory_key_padding_mask=~torch.tensor(seen))
    close(applied(module, params, *arguments), expected)


def test_slots_add_positions_to_queries_and_keys(torch):
    x, slot, memory, place = rows(1, B, Q, D), rows(2, 1, Q, D), rows(3, B, N, D), rows(4, B, N, D)
    seen = mask(5, 3)
    module = layers.DecoderLayer(*SIZES)
    arguments = (x, slot, memory, place, seen)
    params = random_params(module, *arguments, None)
    own, cross = (torch.nn.MultiheadAttention(D, H, batch_first=True) for _ in range(2))
    attention(torch, own, params["Attention_0"])
    attention(torch, cross, params["Attention_1"])
    norms = [torch_norm(torch, params[f"LayerNorm_{i}"]) for i in range(3)]
    x, slot, memory, place, seen = as_torch(torch, x, slot, memory, place, seen)
    x = norms[0](x + own(x + slot, x + slot, x)[0])
    x = norms[1](x + cross(x + slot, memory + place, memory, key_padding_mask=~seen)[0])
    expected = norms[2](x + feed_forward(torch, params["FeedForward_0"], x))
    close(applied(module, params, *arguments), expected)


@pytest.mark.parametrize("first", [True, False])
def test_anchors_and_contents_meet_side_by_side_in_every_head(torch, first):
    x, slot, anchor = (rows(i, B, Q, D) for i in (1, 2, 3))
    memory, place, seen = rows(4, B, N, D), rows(5, B, N, D), mask(5, 3)
    module = layers.AnchorLayer(*SIZES, first=first)
    arguments = (x, slot, anchor, memory, place, seen)
    params = random_params(module, *arguments, None)
    assert ("query_position" in params) == first
    apply = lambda name, rows: torch_linear(torch, params[name])(rows)  # noqa: E731
    heads = lambda rows: rows.reshape(B, -1, H, D // H).transpose(1, 2)  # noqa: E731
    flat = lambda rows: rows.transpose(1, 2).reshape(B, -1, D)  # noqa: E731
    attend = torch.nn.functional.scaled_dot_product_attention
    norms = [torch_norm(torch, params[f"LayerNorm_{i}"]) for i in range(3)]
    x, slot, anchor, memory, place, seen = as_torch(torch, x, slot, anchor, memory, place, seen)
    query = apply("self_query", x) + apply("self_query_position", slot)
    keys = apply("self_key", x) + apply("self_key_position", slot)
    mixed = attend(heads(query), heads(keys), heads(apply("self_value", x)))
    x = norms[0](x + apply("self_out", flat(mixed)))
    query, keys, places = apply("query", x), apply("key", memory), apply("key_position", place)
    if first:
        query, keys = query + apply("query_position", slot), keys + places
    query = torch.cat([heads(query), heads(apply("query_sine", anchor))], dim=-1)
    keys = torch.cat([heads(keys), heads(places)], dim=-1)
    mixed = attend(query, keys, heads(apply("value", memory)), attn_mask=seen[:, None, None])
    x = norms[1](x + apply("out", flat(mixed)))
    expected = norms[2](x + feed_forward(torch, params["FeedForward_0"], x))
    close(applied(module, params, *arguments), expected)


def test_positions_are_sines_of_where_a_clip_ends():
    found = np.asarray(layers.clip_positions(mask(5, 2), D))
    for video, count in enumerate((5, 2)):
        for clip in range(count):
            for channel in range(D):
                angle = 2 * np.pi * (clip + 1) / count / 10000 ** (2 * (channel // 2) / D)
                wave = np.cos if channel % 2 else np.sin
                assert abs(found[video, clip, channel] - wave(angle)) < 1e-5


def test_projections_normalise_drop_and_project_with_relus_between(torch):
    x = rows(1, B, N, 6)
    module = layers.Projection(D, 2, 0.0)
    params = random_params(module, x, None)
    expected = torch.tensor(x)
    for layer in range(2):
        of_norm = params[f"LayerNorm_{layer}"]
        own = torch.nn.LayerNorm(len(of_norm["scale"]))
        norm(torch, own, of_norm)
        expected = torch.relu(expected) if layer else expected
        expected = torch_linear(torch, params[f"Linear_{layer}"])(own(expected))
    close(applied(module, params, x), expected)


def test_weights_start_as_pytorchs():
    bound = lambda leaf: float(jnp.abs(leaf).max())  # noqa: E731
    x = rows(1, B, N, 64)
    params = layers.Attention(64, 8, 0.0).init(jax.random.key(0), x, x, x, mask(5, 3), None)
    params = params["params"]
    # in_proj_weight is one matrix (3 D, D)
    for name, outputs in (("query", 3 * 64), ("value", 3 * 64), ("out", 64)):
        limit = (6 / (64 + outputs)) ** 0.5
        assert 0.95 * limit < bound(params[name]["Dense_0"]["kernel"]) <= limit
        assert bound(params[name]["Dense_0"]["bias"]) == 0
    params = layers.Projection(32, 1, 0.0).init(jax.random.key(0), x, None)["params"]["Linear_0"]
    for leaf in params["Dense_0"].values():
        assert 0.8 * 64**-0.5 < bound(leaf) <= 64**-0.5
