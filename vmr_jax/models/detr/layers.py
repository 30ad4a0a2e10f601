"""The layers of the DETR family: projections, positions, and post-norm Transformer layers.

As PyTorch's `nn.TransformerEncoderLayer` and `nn.TransformerDecoderLayer`, but that positions are
added to queries and keys, not to values, in every layer (Carion et al., "End-to-End Object
Detection with Transformers", ECCV 2020); anchors after Liu et al., "DAB-DETR" (ICLR 2022). Rows are
(B, L, D), memories (B, M, D), their masks (B, M) and true where they are attended; without a key
there is no dropout.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.sequences import dropout, symmetric_uniform
from vmr_jax.layers.transformer import layer_norm, multi_head_attention
from vmr_jax.types import AnyArray, Array

EPSILON = 1e-5  # of PyTorch's LayerNorm
TEMPERATURE = 10000.0  # of the positions
Key = Array | None


def split(key: Key, count: int) -> tuple[Key, ...]:
    """`count` keys for `dropout`, or as many None without one."""
    return (None,) * count if key is None else tuple(jax.random.split(key, count))


def sine_embedding(position: AnyArray, width: int) -> Array:
    """Positions in [0, 1] as sines (even channels) and cosines (odd ones) of 2 pi times them.

    Channels 2 i and 2 i + 1 have the frequency 10000^(-2 i / D).
    """
    channel = jnp.arange(width)
    angle = 2 * jnp.pi * position[..., None] / TEMPERATURE ** (2 * (channel // 2) / width)
    return jnp.where(channel % 2 == 0, jnp.sin(angle), jnp.cos(angle))


def clip_positions(mask: AnyArray, width: int) -> Array:
    """`sine_embedding` of where each of a video's n clips ends: 1 / n ... 1."""
    count = jnp.cumsum(mask, axis=1, dtype=jnp.float32)
    return sine_embedding(count / (count[:, -1:] + 1e-6), width)


class Linear(nn.Module):
    """A linear layer that starts as PyTorch's: weights and bias uniform in +- inputs^-0.5.

    With `xavier` the weights are uniform in +- gain sqrt(6 / (inputs + outputs)); with `zero_bias`
    the bias is 0.
    """

    features: int
    xavier: bool = False
    gain: float = 1.0
    zero_bias: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: AnyArray) -> Array:
        """x W + b."""
        bound = x.shape[-1] ** -0.5
        of_weights = bound
        if self.xavier:
            of_weights = self.gain * (6 / (x.shape[-1] + self.features)) ** 0.5
        of_bias = 0.0 if self.zero_bias else bound
        within = lambda far: lambda key, shape, _: symmetric_uniform(key, shape, far)  # noqa: E731
        weights, bias = within(of_weights), within(of_bias)
        return nn.Dense(
            self.features, dtype=self.dtype, kernel_init=weights, bias_init=bias, name="Dense_0"
        )(x)


class MLP(nn.Module):
    """`layers` linear layers with ReLUs between."""

    width: int
    features: int
    layers: int
    xavier: bool = False
    zero_bias: bool = False  # of the last layer
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: AnyArray) -> Array:
        """Of the rows of x."""
        for _ in range(self.layers - 1):
            x = nn.relu(Linear(self.width, self.xavier, dtype=self.dtype)(x))
        zero_bias = {"zero_bias": self.zero_bias, "dtype": self.dtype}
        return Linear(self.features, self.xavier, **zero_bias)(x)


class Projection(nn.Module):
    """`layers` times LayerNorm, dropout, linear layer, with ReLUs between."""

    width: int
    layers: int
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: AnyArray, key: Key) -> Array:
        """Rows of features in the network's width."""
        x = jnp.asarray(x)
        for layer, own in enumerate(split(key, self.layers)):
            x = nn.relu(x) if layer else x
            x = dropout(own, layer_norm(EPSILON)(x), self.dropout)
            x = Linear(self.width, dtype=self.dtype)(x)
        return x


class Attention(nn.Module):
    """PyTorch's `nn.MultiheadAttention`: projections, attention of `heads`, output."""

    width: int
    heads: int
    dropout: float
    dtype: Any = jnp.float32

    def setup(self):
        inward = {"xavier": True, "gain": 2**-0.5, "zero_bias": True, "dtype": self.dtype}
        self.query, self.key, self.value = (Linear(self.width, **inward) for _ in range(3))
        self.out = Linear(self.width, xavier=True, zero_bias=True, dtype=self.dtype)

    def __call__(
        self,
        query: AnyArray,
        keys: AnyArray,
        values: AnyArray,
        mask: AnyArray,
        key: Key,
    ) -> Array:
        """Each row of `query` attends the rows where the mask is true."""
        parts = self.query(query), self.key(keys), self.value(values)
        query, keys, values = (heads_of(part, self.heads) for part in parts)
        mask = mask[:, None, None]
        return self.out(multi_head_attention(query, keys, values, mask, key, self.dropout))


def heads_of(x: AnyArray, heads: int) -> Array:
    """Rows cut into parts, one a head."""
    return jnp.asarray(x).reshape(*x.shape[:2], heads, -1)


class FeedForward(nn.Module):
    """Linear, ReLU, dropout, linear, dropout."""

    width: int
    hidden: int
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: AnyArray, key: Key) -> Array:
        """Of the rows of x."""
        inner, outer = split(key, 2)
        x = nn.relu(Linear(self.hidden, xavier=True, dtype=self.dtype)(x))
        x = Linear(self.width, xavier=True, dtype=self.dtype)(dropout(inner, x, self.dropout))
        return dropout(outer, x, self.dropout)


class EncoderLayer(nn.Module):
    """Attention to `memory` and a feed-forward part, each norm(x + part(x)).

    Self-attention where the memory is x. With `keep_sum` (QD-DETR's text-to-video layer) the second
    residual adds to the sum before the first norm, as the public code does (DETR D1).
    """

    width: int
    heads: int
    hidden: int
    dropout: float
    keep_sum: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: AnyArray,
        position: AnyArray | float,
        memory: AnyArray,
        memory_position: AnyArray | float,
        mask: AnyArray,
        key: Key,
    ) -> Array:
        """Rows x that have looked at the rows of the memory where the mask is true."""
        keys = split(key, 3)
        attend = Attention(self.width, self.heads, self.dropout, self.dtype)
        seen = attend(x + position, memory + memory_position, memory, mask, keys[0])
        total = x + dropout(keys[1], seen, self.dropout)
        rows = layer_norm(EPSILON)(total)
        made = FeedForward(self.width, self.hidden, self.dropout, self.dtype)(rows, keys[2])
        return layer_norm(EPSILON)((total if self.keep_sum else rows) + made)


class DecoderLayer(nn.Module):
    """Self-attention of slots, attention to the memory, feed-forward: each norm(x + part(x))."""

    width: int
    heads: int
    hidden: int
    dropout: float
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: AnyArray,
        slot: AnyArray,
        memory: AnyArray,
        position: AnyArray,
        mask: AnyArray,
        key: Key,
    ) -> Array:
        """Slots that have looked at each other and at the memory; `slot` is their position."""
        keys = split(key, 5)
        sizes = (self.width, self.heads, self.dropout, self.dtype)
        every = jnp.ones(x.shape[:2], bool)
        seen = Attention(*sizes)(x + slot, x + slot, x, every, keys[0])
        x = layer_norm(EPSILON)(x + dropout(keys[1], seen, self.dropout))
        seen = Attention(*sizes)(x + slot, memory + position, memory, mask, keys[2])
        x = layer_norm(EPSILON)(x + dropout(keys[3], seen, self.dropout))
        made = FeedForward(self.width, self.hidden, self.dropout, self.dtype)(x, keys[4])
        return layer_norm(EPSILON)(x + made)


class AnchorLayer(nn.Module):
    """A decoder layer of DAB-DETR: content and position meet their own kind in the attention.

    Where `first`, positions are added to contents too. Each projection is its own linear layer.
    """

    width: int
    heads: int
    hidden: int
    dropout: float
    first: bool
    dtype: Any = jnp.float32

    def _linear(self, name: str) -> Linear:
        return Linear(self.width, xavier=True, dtype=self.dtype, name=name)

    @nn.compact
    def __call__(
        self,
        x: AnyArray,
        slot: AnyArray,
        anchor: AnyArray,
        memory: AnyArray,
        position: AnyArray,
        mask: AnyArray,
        key: Key,
    ) -> Array:
        """`slot` is what the self-attention reads of the anchors, `anchor` their sines."""
        keys, heads = split(key, 5), self.heads
        query = self._linear("self_query")(x) + self._linear("self_query_position")(slot)
        own = self._linear("self_key")(x) + self._linear("self_key_position")(slot)
        parts = query, own, self._linear("self_value")(x)
        query, own, values = (heads_of(part, heads) for part in parts)
        every = jnp.ones((1, 1, 1, 1), bool)
        seen = multi_head_attention(query, own, values, every, keys[0], self.dropout)
        seen = Linear(self.width, True, zero_bias=True, dtype=self.dtype, name="self_out")(seen)
        x = layer_norm(EPSILON)(x + dropout(keys[1], seen, self.dropout))

        query, content = self._linear("query")(x), self._linear("key")(memory)
        places = self._linear("key_position")(position)
        if self.first:
            query = query + self._linear("query_position")(slot)
            content = content + places
        sines = self._linear("query_sine")(anchor)
        side_by_side = lambda *parts: jnp.concatenate(  # noqa: E731
            [heads_of(part, heads) for part in parts], axis=-1
        )
        query, content = side_by_side(query, sines), side_by_side(content, places)
        values = heads_of(self._linear("value")(memory), heads)
        mask = mask[:, None, None]
        seen = multi_head_attention(query, content, values, mask, keys[2], self.dropout)
        seen = Linear(self.width, True, zero_bias=True, dtype=self.dtype, name="out")(seen)
        x = layer_norm(EPSILON)(x + dropout(keys[3], seen, self.dropout))
        made = FeedForward(self.width, self.hidden, self.dropout, self.dtype)(x, keys[4])
        return layer_norm(EPSILON)(x + made)
