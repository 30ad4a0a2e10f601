"""The attention unit of EVA (Eq. 1) and the two ways it is used: within and across modalities.

    R(Y, X) = softmax((Y W_q)(X W_k)^T / sqrt(d)),  Att(Y, X) = FC(Y + R(Y, X) X W_v)

The FC is linear, so Att(Y, X) = Y W_fc + b + R(Y, X) X B with B = W_v W_fc, and the scores are
Y A X^T with A = W_q W_k^T. A and B are small products of parameters. They can stand on either
side: X A^T and X B belong to X alone, Y A and Y W_fc to Y alone. So the work that does not depend
on the pair (Y, X) is done once an item, on the side with fewer rows, and a re-paired negative
costs two thin attention products. With H heads the same holds for each head's A_h and B_h.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.dropout import dropout
from vmr_jax.types import Array


def masked_softmax(scores: Array, mask: Array) -> Array:
    """Softmax over the last axis of (..., L) where mask is true, in float32.

    Masked entries are 0; a row without a valid entry is all 0.
    """
    scores = jnp.where(mask, scores.astype(jnp.float32), -1e9)
    return jax.nn.softmax(scores, axis=-1) * mask


def masked_log_softmax(scores: Array, mask: Array) -> Array:
    """Log-softmax over the last axis of (..., L) where mask is true; elsewhere below -1e9."""
    return jax.nn.log_softmax(jnp.where(mask, scores, -1e10), axis=-1)


def multi_head_attention(
    query: Array, keys: Array, values: Array, mask: Array, key: Array | None, rate: float
) -> Array:
    """softmax(Q K^T / sqrt(E)) V of H heads: (B, L, H, E), two (B, M, H, E) -> (B, L, H E).

    Row l attends row m where `mask`, which broadcasts to (B, H, L, M), is true. Scores and softmax
    are float32. The weights have dropout of `rate`, none without a key. Source: Vaswani et al.,
    2017, section 3.2.
    """
    query = query * query.shape[-1] ** -0.5
    scores = jnp.einsum("blhe,bmhe->bhlm", query, keys, preferred_element_type=jnp.float32)
    weight = dropout(key, masked_softmax(scores, mask), rate).astype(values.dtype)
    mixed = jnp.einsum("bhlm,bmhe->blhe", weight, values)
    return mixed.reshape(*mixed.shape[:2], -1)


class AttentionUnit(nn.Module):
    """Att(Y, X) of EVA, Eq. 1, in parts: what depends on X, what depends on Y, and the pair.

    `heads` splits W_q, W_k and W_v into column blocks, each scaled by sqrt(dim / heads).
    `layer_norm="post"` normalises the output, after dropout.
    """

    dim: int
    heads: int = 1
    layer_norm: str = "none"
    dropout: float = 0.0
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    def setup(self):
        square = (self.dim, self.dim)
        self.query = self.param("query", self.kernel_init, square)
        self.key = self.param("key", self.kernel_init, square)
        self.value = self.param("value", self.kernel_init, square)
        self.fc_kernel = self.param("fc_kernel", self.kernel_init, square)
        self.fc_bias = self.param("fc_bias", nn.initializers.zeros, (self.dim,))
        if self.layer_norm == "post":
            self.norm = nn.LayerNorm(dtype=self.dtype)

    def base(self, y: Array) -> Array:
        """Y W_fc + b, the part of the output that is Y's own: (B, L, D) -> (B, L, D)."""
        return y @ self.fc_kernel.astype(self.dtype) + self.fc_bias.astype(self.dtype)

    def _score_kernel(self, left: Array, right: Array) -> Array:
        """A_h = left_h right_h^T / sqrt(D / H): (D, H, D), rounded only at the end.

        A_h for Y's side from (W_q, W_k), A_h^T for X's side from (W_k, W_q).
        """
        blocks = (self.dim, self.heads, self.dim // self.heads)
        kernel = jnp.einsum("dhe,fhe->dhf", left.reshape(blocks), right.reshape(blocks))
        return (kernel * blocks[2] ** -0.5).astype(self.dtype)

    def _value_kernel(self) -> Array:
        """B_h = W_v,h W_fc,h: (D, H, D), rounded only at the end."""
        blocks = (self.dim, self.heads, self.dim // self.heads)
        value, fc = self.value.reshape(blocks), self.fc_kernel.reshape(*blocks[1:], self.dim)
        return jnp.einsum("dhe,hef->dhf", value, fc).astype(self.dtype)

    def keys_values(self, x: Array) -> tuple[Array, Array]:
        """X A_h^T and X B_h, for attention that X's side prepares: (B, M, D) -> (B, M, H, D)."""
        keys = jnp.einsum("bmd,dhe->bmhe", x, self._score_kernel(self.key, self.query))
        return keys, jnp.einsum("bmd,dhe->bmhe", x, self._value_kernel())

    def queries(self, y: Array) -> Array:
        """Y A_h, for attention that Y's side prepares: (B, L, D) -> (B, L, H, D)."""
        return jnp.einsum("bld,dhe->blhe", y, self._score_kernel(self.query, self.key))

    def attend_prepared_x(
        self, y: Array, base: Array, keys: Array, values: Array, x_mask: Array
    ) -> Array:
        """Att(Y, X) before dropout, from Y (B, L, D), base(Y) and keys_values(X)."""
        weight = self.weights(y, keys, x_mask).astype(self.dtype)
        return base + jnp.einsum("blhm,bmhd->bld", weight, values)

    def weights(self, y: Array, keys: Array, x_mask: Array) -> Array:
        """R(Y, X) of each head, from Y (B, L, D) and the keys of X: (B, L, H, M) float32."""
        scores = jnp.einsum("bld,bmhd->blhm", y, keys, preferred_element_type=jnp.float32)
        return masked_softmax(scores, x_mask[:, None, None])

    def attend_prepared_y(self, queries: Array, base: Array, x: Array, x_mask: Array) -> Array:
        """Att(Y, X) before dropout, from queries(Y), base(Y) and X (B, M, D)."""
        scores = jnp.einsum("blhd,bmd->blhm", queries, x, preferred_element_type=jnp.float32)
        weight = masked_softmax(scores, x_mask[:, None, None]).astype(self.dtype)
        mixed = jnp.einsum("blhm,bmd->blhd", weight, x)
        return base + jnp.einsum("blhd,dhe->ble", mixed, self._value_kernel())

    def finish(self, out: Array, y_mask: Array, key: Array | None) -> Array:
        """Dropout (none where `key` is None), normalisation, and zero rows on padding."""
        out = dropout(key, out, self.dropout)
        if self.layer_norm == "post":
            out = self.norm(out)
        return jnp.where(y_mask[..., None], out, 0)

    def __call__(
        self, y: Array, x: Array, y_mask: Array, x_mask: Array, key: Array | None = None
    ) -> Array:
        """Att(Y, X): (B, L, D), (B, M, D), masks (B, L), (B, M) -> (B, L, D)."""
        out = self.attend_prepared_x(y, self.base(y), *self.keys_values(x), x_mask)
        return self.finish(out, y_mask, key)


class SelfAttention(nn.Module):
    """One attention unit within the video and one within the query (EVA, Eq. 2)."""

    unit: Callable[[], AttentionUnit]

    def setup(self):
        self.video = self.unit()
        self.query = self.unit()

    def __call__(
        self,
        video: Array,
        video_mask: Array,
        query: Array,
        query_mask: Array,
        key: Array | None = None,
    ) -> tuple[Array, Array]:
        """Att(V, V) and Att(Q, Q): (B, L, D) and (B, M, D) with their masks -> the same shapes."""
        video_key, query_key = (None, None) if key is None else jax.random.split(key)
        return (
            self.video(video, video, video_mask, video_mask, video_key),
            self.query(query, query, query_mask, query_mask, query_key),
        )


class VideoSide(NamedTuple):
    """What cross attention needs of a video, whichever query it is paired with."""

    rows: Array  # (B, L, D)
    base: Array  # (B, L, D)
    mask: Array  # (B, L)


class QuerySide(NamedTuple):
    """What cross attention needs of a query, whichever video it is paired with."""

    keys: Array  # (B, M, H, D) that the video attends
    values: Array  # (B, M, H, D)
    queries: Array  # (B, M, H, D) that attend the video
    base: Array  # (B, M, D)
    mask: Array  # (B, M)


class CrossAttention(nn.Module):
    """Att(V, Q) and Att(Q, V) (EVA, Eq. 5), two units with their own weights.

    With `sequential` the second unit attends the new V, else the old one. The query is the side
    with fewer rows, so both units' d x d products of the pair stand there.
    """

    unit: Callable[[], AttentionUnit]
    sequential: bool = False

    def setup(self):
        self.video = self.unit()
        self.query = self.unit()

    def prepare(
        self, video: Array, video_mask: Array, query: Array, query_mask: Array
    ) -> tuple[VideoSide, QuerySide]:
        """Do once an item what does not depend on the pair."""
        keys, values = self.video.keys_values(query)
        queries, base = self.query.queries(query), self.query.base(query)
        return (
            VideoSide(video, self.video.base(video), video_mask),
            QuerySide(keys, values, queries, base, query_mask),
        )

    def meet(
        self, video: VideoSide, query: QuerySide, key: Array | None = None
    ) -> tuple[Array, Array]:
        """New rows of paired videos (B, L, D) and queries (B, M, D)."""
        video_key, query_key = (None, None) if key is None else jax.random.split(key)
        rows = self.video.attend_prepared_x(
            video.rows, video.base, query.keys, query.values, query.mask
        )
        rows = self.video.finish(rows, video.mask, video_key)
        attended = rows if self.sequential else video.rows
        words = self.query.attend_prepared_y(query.queries, query.base, attended, video.mask)
        return rows, self.query.finish(words, query.mask, query_key)

    def weights(self, video: VideoSide, query: QuerySide) -> Array:
        """R(V, Q) of paired videos and queries, the mean over heads: (B, L, M) float32."""
        return self.video.weights(video.rows, query.keys, query.mask).mean(axis=2)

    def __call__(
        self,
        video: Array,
        video_mask: Array,
        query: Array,
        query_mask: Array,
        key: Array | None = None,
    ) -> tuple[Array, Array]:
        """Both steps at once: (B, L, D) and (B, M, D) with their masks -> the same shapes."""
        return self.meet(*self.prepare(video, video_mask, query, query_mask), key)
