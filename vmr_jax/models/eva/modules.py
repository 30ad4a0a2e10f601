"""The modules of EVA: input layers, attention within and across modalities, and both heads."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.sequences import convolve_clips, dropout, masked_softmax
from vmr_jax.types import Array

_KERNEL = 5  # clips


class Projections(nn.Module):
    """The input layers of both modalities (EVA, section 3)."""

    dim: int
    dropout: float
    kernel_init: Any
    dtype: Any

    @nn.compact
    def __call__(
        self,
        video: Array,
        video_mask: Array,
        query: Array,
        query_mask: Array,
        key: Array | None = None,
    ) -> tuple[Array, Array]:
        """(B, N, F) and (B, M, E) with their masks -> (B, N, D) and (B, M, D)."""
        keys = (None, None) if key is None else jax.random.split(key)
        rows = []
        for name, x, mask, x_key in (
            ("video", video, video_mask, keys[0]),
            ("query", query, query_mask, keys[1]),
        ):
            dense = nn.Dense(self.dim, kernel_init=self.kernel_init, dtype=self.dtype, name=name)
            x = dense(dropout(x_key, x.astype(self.dtype), self.dropout))
            rows.append(jnp.where(mask[..., None], x, 0))
        return rows[0], rows[1]


class AttentionUnit(nn.Module):
    """Att(Y, X) of EVA, Eq. 1, in parts: what depends on X, what depends on Y, and the pair.

        R(Y, X) = softmax((Y W_q)(X W_k)^T / sqrt(d)),  Att(Y, X) = FC(Y + R(Y, X) X W_v)

    The FC is linear, so Att(Y, X) = Y W_fc + b + R(Y, X) X B with B = W_v W_fc, and the scores are
    Y A X^T with A = W_q W_k^T. A and B are small products of parameters. They can stand on either
    side: X A^T and X B belong to X alone, Y A and Y W_fc to Y alone. So the work that does not
    depend on the pair (Y, X) is done once an item, on the side with fewer rows, and a re-paired
    negative costs two thin attention products. With H heads the same holds for each head's A_h and
    B_h.

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


class MatchingHead(nn.Module):
    """How well a sentence fits each proposal (EVA, Eq. 3).

    m_k = w^T j_k + b with j_k = (p_k + q) || (p_k * q) || FC(p_k || q).

    `fc_out` is the width of the FC: "d", "2d", or "identity" for p_k || q itself (EVA A3).
    Everything after q is linear in p_k, so with w = (w1, w2, w3) and FC(x) = x W + c

        m_k = p_k . u + s,  u = w1 + w2 * q + W_p w3,  s = q . (w1 + W_q w3) + c . w3 + b

    and no j_k is ever built.
    """

    dim: int
    fc_out: str = "d"
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, rows: Array, query: Array) -> Array:
        """Logits of P_m(p_k | Q): rows (B, P, D), query (B, D) -> (B, P) float32."""
        width = {"d": self.dim, "2d": 2 * self.dim, "identity": 2 * self.dim}[self.fc_out]
        scorer = self.param("scorer", self.kernel_init, (2 * self.dim + width, 1))[:, 0]
        bias = self.param("bias", nn.initializers.zeros, (1,))
        add, multiply, joint = jnp.split(scorer, [self.dim, 2 * self.dim])
        if self.fc_out != "identity":
            kernel = self.param("fc_kernel", self.kernel_init, (2 * self.dim, width))
            bias = bias + self.param("fc_bias", nn.initializers.zeros, (width,)) @ joint
            joint = kernel @ joint
        of_rows, of_query = jnp.split(joint, 2)
        query = query.astype(jnp.float32)
        direction = (add + multiply * query + of_rows).astype(self.dtype)
        logits = jnp.einsum("bpd,bd->bp", rows, direction, preferred_element_type=jnp.float32)
        return logits + (query @ (add + of_query) + bias)[:, None]


class Boundaries(NamedTuple):
    """Scores of a video's clips, float32."""

    similarity: Array  # (B, N) S of each clip with the sentence; 0 on padding
    start: Array  # (B, N) logits; -1e10 on padding
    end: Array  # (B, N) logits; -1e10 on padding


class BoundaryHead(nn.Module):
    """Similarity of each clip with a modular query vector, and two 1-D convolutions over it.

    Source: EVA, section 3.1, after XML of Lei et al., 2020.
    """

    dim: int
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, video: Array, video_mask: Array, query: Array, query_mask: Array):
        """(B, N, D), (B, N), (B, M, D), (B, M) -> Boundaries."""
        attention = nn.Dense(
            1, use_bias=False, kernel_init=self.kernel_init, dtype=self.dtype, name="word_score"
        )
        weight = masked_softmax(attention(query)[..., 0], query_mask).astype(self.dtype)
        sentence = jnp.einsum("bm,bmd->bd", weight, query)
        sentence = nn.Dense(self.dim, kernel_init=self.kernel_init, dtype=self.dtype, name="fc")(
            sentence
        )
        similarity = jnp.einsum("bnd,bd->bn", video, sentence, preferred_element_type=jnp.float32)
        similarity = jnp.where(video_mask, similarity, 0)

        def convolve(name: str) -> Array:
            kernel = self.param(name, self.kernel_init, (_KERNEL, 1, 1))
            logits = convolve_clips(similarity[..., None], kernel)[..., 0]
            return jnp.where(video_mask, logits, -1e10)

        return Boundaries(similarity, convolve("start"), convolve("end"))
