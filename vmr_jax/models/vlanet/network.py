"""The network of VLANet: query, proposals, surrogates, cascaded attention (VLANet, section 3)."""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.clip_spans import group_spans, pool_proposals, segment_groups
from vmr_jax.layers.recurrent import GRU
from vmr_jax.layers.sequences import l2_normalize
from vmr_jax.models.switches import compute_dtype
from vmr_jax.models.vlanet.dense_attention import Alignment, dense_attention
from vmr_jax.types import Array, Batch, Config


class Videos(NamedTuple):
    """Videos before they meet a query."""

    proposals: Array  # (B, G, L, D) p_lk of Eq. 2, unit vectors
    valid: Array  # (B, G, L)


class Queries(NamedTuple):
    """Queries before they meet a video."""

    words: Array  # (B, M, D) Q of Eq. 1, after its self-attention (Eq. 10)
    mask: Array  # (B, M)
    last: Array  # (B, D) w_M of Eq. 3, before self-attention


class Aligned(NamedTuple):
    """Videos and queries that went through the cascade; R is G, or G L without surrogates."""

    cosine: Array  # (B, G, L) c_lk of Eq. 3, float32
    chosen: Array  # (B, G, L) bool, the cells whose rows go through the cascade
    video: Array  # (B, R, D) final rows
    query: Array  # (B, M, D) final rows
    query_mask: Array  # (B, M)
    rank: Array  # (B, R) float32, what ranks the rows (VLANet V9); -inf on invalid ones
    strength: Array  # (B, R) float32, the same as attention weights; 0 on invalid rows
    similarity: Array  # (B,) float32, c of Eq. 13


class VLANet(nn.Module):
    """Eq. 1 to 13; the switches are those of configs/vlanet.py."""

    config: Config

    def setup(self):
        config = self.config
        self.dtype = compute_dtype(config)
        common: dict[str, Any] = {
            "kernel_init": nn.initializers.xavier_uniform(),
            "dtype": self.dtype,
        }
        self.gru = GRU(config.dim, **common)
        self.query_fc = nn.Dense(config.dim, **common)
        self.video_fc = nn.Dense(config.dim, **common)
        cross = tuple(config.cascade) * config.cascade_repeat
        self.steps = ("v2v", "q2q") * config.self_attn + cross * config.cross_attn
        share = config.attn.share_weights

        def alignment() -> Alignment:
            return Alignment(config.dim, config.vla.reduce, **common)

        self.final = alignment()
        self.attentions = [] if share else [alignment() for _ in self.steps]

    def _attend(self, step: int, x: Array, x_mask: Array, y: Array, y_mask: Array):
        """Rows, weights and energies E of A(X, Y), with the kernels of one step of the cascade."""
        shared = self.config.attn.share_weights
        energy = (self.final if shared else self.attentions[step])(x, y, y_mask)
        return *dense_attention(x, energy, x_mask, self.config.attn.rescale_n), energy

    def queries(self, query: Array, mask: Array) -> Queries:
        """Q of Eq. 1 after Eq. 10, and w_M (VLANet V8, V10): (B, M, E), (B, M) -> Queries."""
        stage = self.config.query.norm_stage
        words = self.gru(query, mask)
        if stage in ("before_fc", "both"):
            words = l2_normalize(words)
        words = self.query_fc(words)
        if stage in ("after_fc", "both"):
            words = l2_normalize(words)
        words = jnp.where(mask[..., None], words, 0)
        end = jax.nn.one_hot(mask.sum(axis=-1) - 1, mask.shape[1], dtype=words.dtype)
        last = l2_normalize(jnp.einsum("bm,bmd->bd", end, words))
        if self.config.self_attn:
            words, *_ = self._attend(1, words, mask, words, mask)
        return Queries(words, mask, last)

    def videos(self, video: Array, num_clips: Array) -> Videos:
        """The proposals of Eq. 2: (B, N, F), (B,) -> Videos.

        Pooling is linear and a mean keeps the bias, so the FC goes where there are fewer rows.
        """
        clips = video.shape[1]
        groups = make_groups(self.config, clips)
        start, end, valid = group_spans(groups, num_clips)
        video = video.astype(self.dtype)
        if clips < start.shape[1]:
            rows = pool_proposals(self.video_fc(video), start, end)
        else:
            rows = self.video_fc(pool_proposals(video, start, end))
        rows = jnp.where(valid[..., None], l2_normalize(rows), 0)
        cells = (len(video), len(groups.start), len(groups.width))
        return Videos(rows.reshape(*cells, -1), valid.reshape(cells))

    def align(self, videos: Videos, queries: Queries) -> Aligned:
        """Eq. 3 to 13 on paired videos and queries."""
        config = self.config
        cosine = jnp.einsum(
            "bgld,bd->bgl", videos.proposals, queries.last, preferred_element_type=jnp.float32
        )
        if config.surrogate:
            chosen, rows, mask = select_surrogates(videos, cosine)
        else:
            chosen = videos.valid
            rows = videos.proposals.reshape(len(chosen), -1, config.dim)
            mask = chosen.reshape(len(chosen), -1)
        words, query_mask = queries.words, queries.mask
        weights, energies = [], []
        for step, direction in enumerate(self.steps):
            if direction == "v2q":
                words, *_ = self._attend(step, words, query_mask, rows, mask)
            elif direction != "q2q":
                other = (rows, mask) if direction == "v2v" else (words, query_mask)
                rows, weight, energy = self._attend(step, rows, mask, *other)
                weights.append(weight)
                energies.append(energy)
        if config.infer.score == "product" and weights:
            rank, strength = sum(energies), jnp.prod(jnp.stack(weights), axis=0)
        elif config.infer.score == "last_q2v" and "q2v" in self.steps:
            rank, strength = energies[-1], weights[-1]
        else:
            rank = strength = self.final(rows, words, query_mask)
        return Aligned(
            cosine=cosine,
            chosen=chosen,
            video=rows,
            query=words,
            query_mask=query_mask,
            rank=jnp.where(mask, rank, -jnp.inf),
            strength=jnp.where(mask, strength, 0),
            similarity=self.similarity(rows.sum(axis=1), words, query_mask),
        )

    def similarity(self, compact: Array, words: Array, query_mask: Array) -> Array:
        """c of Eq. 13: v_comp (B, D), (B, M, D), (B, M) -> (B,) float32."""
        return self.final(compact[:, None], words, query_mask)[:, 0]

    def word_terms(self, aligned: Aligned) -> Array:
        """What each word adds to the alignment of each final row (Eq. 7): (B, R, M) float32."""
        return self.final.terms(aligned.video, aligned.query)

    def __call__(self, batch: Batch) -> Aligned:
        """Every pair of a batch."""
        videos = self.videos(batch.video, batch.num_clips)
        return self.align(videos, self.queries(batch.query, batch.query_mask))


def make_groups(config: Config, max_clips: int):
    """The segment groups of a config; a stride in frames may be a part of a clip (VLANet V1)."""
    settings = config.proposals
    stride = settings.stride
    if settings.stride_unit == "frame":
        stride = stride / settings.frames_per_clip
    return segment_groups(max_clips, tuple(settings.widths), stride, settings.cut)


def select_surrogates(videos: Videos, cosine: Array) -> tuple[Array, Array, Array]:
    """The proposal of each group that is nearest to the query (Eq. 4 to 6; ties: the smaller).

    Returns the chosen cells (B, G, L), their rows (B, G, D) and which groups are valid (B, G). No
    gradient passes through the choice.
    """
    best = jnp.argmax(jnp.where(videos.valid, cosine, -jnp.inf), axis=-1)
    mask = videos.valid.any(axis=-1)
    chosen = jax.nn.one_hot(best, cosine.shape[-1], dtype=bool) & mask[..., None]
    rows = jnp.einsum("bgld,bgl->bgd", videos.proposals, chosen.astype(videos.proposals.dtype))
    return chosen, rows, mask
