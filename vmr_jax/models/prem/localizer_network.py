"""PREM's localizer as a network: gates, fusion, heads on top of encoders (PREM, section 3.4)."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.decoding.spans import Spans
from vmr_jax.layers.fusion import FusionLayer, Memory
from vmr_jax.layers.self_similarity import EdgeRows
from vmr_jax.layers.sequences import ClipConvolution, l2_normalize, range_max
from vmr_jax.models.prem.network import (
    KERNEL_INIT,
    EncodedQueries,
    PremEncoder,
    layer_sizes,
)
from vmr_jax.models.switches import compute_dtype
from vmr_jax.types import AnyArray, Array, CandidateBatch, Config, Queries, Videos

HEADS = {  # (width in clips, channels) of each convolution (PREM P11)
    "conv5_conv1": ((5, 128), (1, 1)),
    "conv5_single": ((5, 1),),
    "conv3": ((3, 1),),
}


class VideoCode(NamedTuple):
    """Videos before they meet a query; zero on padding."""

    rows: Array  # (B, N, J, D)
    gate: Array | None  # (B, N, J, D) W_d d_j of the gates, where there are gates
    edges: Array  # (B, N, E) what changes at the clips' edges; E = 0 without config.edges


class QueryCode(NamedTuple):
    """Queries before they meet a video."""

    vectors: Array  # (B, J, D) float32
    mask: AnyArray  # (B, M)
    memory: tuple[Memory, ...]  # what each layer of the fusion attends


class Located(NamedTuple):
    """C videos of B queries; logits are float32, -1e10 on padding."""

    start: Array  # (B, C, N)
    end: Array  # (B, C, N)
    content: Array | None  # (B, C, N, D) rows of the relevant-content head


class BoundaryScore(nn.Module):
    """Convolutions over the clips, with a ReLU between them."""

    config: Config

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., N, D), zero on padding -> (..., N) float32."""
        dtype = compute_dtype(self.config)
        for number, (width, channels) in enumerate(HEADS[self.config.head]):
            x = nn.relu(x) if number else x
            x = ClipConvolution(width, channels, dtype)(x)
        return x[..., 0]


class PremLocalizer(nn.Module):
    """Encoders, gates, fusion, boundary heads and the relevant-content head."""

    config: Config
    max_clips: int
    max_words: int

    def setup(self):
        config, dtype = self.config, compute_dtype(self.config)
        self.encoder = PremEncoder(config, self.max_clips, self.max_words)
        if config.gate != "none":
            shape = (len(config.modalities), config.dim, config.dim)
            self.gate = self.param("gate", KERNEL_INIT, shape)
        self.merge_fc = nn.Dense(config.dim, kernel_init=KERNEL_INIT, dtype=dtype)
        fusion = lambda count: [  # noqa: E731
            FusionLayer(**layer_sizes(config), dtype=dtype) for _ in range(count)
        ]
        self.boundary = fusion(2)
        self.edges = EdgeRows(tuple(config.edges), dtype)
        self.start, self.end = BoundaryScore(config), BoundaryScore(config)
        if config.lc.enabled:
            self.content = fusion(1 if config.lc.share_fusion else 2)
            self.class_kernel = self.param("class_kernel", KERNEL_INIT, (config.dim,))
            self.class_bias = self.param("class_bias", nn.initializers.zeros, ())

    def encode_videos(self, videos: Videos, key: Array | None = None) -> VideoCode:
        """What does not depend on a query."""
        rows = self.encoder.videos(videos, key)
        edges = self.edges(videos.video, videos.video_mask)
        if self.config.gate == "none":
            return VideoCode(rows, None, edges)
        gate = jnp.einsum("bnjd,jde->bnje", rows, self.gate.astype(rows.dtype))
        return VideoCode(rows, gate, edges)

    def encode_queries(self, queries: Queries) -> QueryCode:
        """What does not depend on a video."""
        return self._query_code(self.encoder.queries(queries), queries.query_mask)

    def _query_code(self, encoded: EncodedQueries, mask: AnyArray) -> QueryCode:
        memory = tuple(layer.memory(encoded.words) for layer in self.boundary)
        return QueryCode(encoded.vectors, mask, memory)

    def merge(self, query: QueryCode, video: VideoCode) -> Array:
        """The gated clips c (PREM, Eq. 9): codes (B, ...) and (B, C, N, ...) -> (B, C, N, D)."""
        dtype = compute_dtype(self.config)
        rows = video.rows.astype(dtype)
        if video.gate is not None:
            product = video.gate.astype(jnp.float32) * query.vectors[:, None, None]
            gate = jax.nn.sigmoid if self.config.gate == "sigmoid" else l2_normalize
            rows = rows * gate(product).astype(dtype)
        return self.merge_fc(rows.reshape(*rows.shape[:3], -1))

    def locate(self, query: QueryCode, video: VideoCode, mask: Array) -> tuple[Array, Array]:
        """Logits of start and end clips: codes (B, ...), (B, C, N, ...), (B, C, N) -> (B, C, N)."""
        rows = self.merge(query, video)
        for layer, memory in zip(self.boundary, query.memory, strict=True):
            rows = layer(rows, mask, memory, query.mask)
        return self._boundaries(rows, video.edges, mask)

    def _boundaries(self, rows: Array, edges: Array, mask: Array) -> tuple[Array, Array]:
        """Logits of both boundaries: (B, C, N, D), (B, C, N, E), (B, C, N) -> two (B, C, N)."""
        rows = jnp.concatenate([rows, edges.astype(rows.dtype)], axis=-1)
        rows = jnp.where(mask[..., None], rows, 0)
        start, end = (jnp.where(mask, head(rows), -1e10) for head in (self.start, self.end))
        return start, end

    def segment_logits(self, rows: Array, spans: Spans, longest: int) -> Array:
        """c_ij of L^c: (B, N, D), spans (B, K) of at most `longest` clips -> (B, K)."""
        pooled = range_max(rows, spans.first, spans.last, longest)
        return pooled.astype(jnp.float32) @ self.class_kernel + self.class_bias

    def __call__(self, batch: CandidateBatch, key: Array | None = None) -> Located:
        """Every video of every query, as training needs them. Without a key there is no dropout."""
        keys = (None,) * 6 if key is None else jax.random.split(key, 6)
        mask = batch.video_mask
        videos = Videos(batch.video, mask, batch.sub)
        flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), videos)
        code = self.encode_videos(flat, keys[0])
        code = jax.tree.map(lambda x: x.reshape(*mask.shape[:2], *x.shape[1:]), code)
        encoded = self.encoder.queries(Queries(batch.query, batch.query_mask), keys[1])
        query = self._query_code(encoded, batch.query_mask)
        merged = self.merge(query, code)
        first, second = self.boundary
        middle = first(merged, mask, query.memory[0], query.mask, keys[2])
        rows = second(middle, mask, query.memory[1], query.mask, keys[3])
        content = None
        if self.config.lc.enabled:
            content = middle if self.config.lc.share_fusion else merged
            for layer, layer_key in zip(self.content, keys[4:], strict=False):
                content = layer(content, mask, layer.memory(encoded.words), query.mask, layer_key)
        return Located(*self._boundaries(rows, code.edges, mask), content)
