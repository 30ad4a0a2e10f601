"""The network of MMCDA: one for both domains (docs/papers/mmcda.md)."""

from typing import NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.domain_adversarial import DomainClassifier
from vmr_jax.layers.fusion import FusionLayer
from vmr_jax.layers.map_convolution import MapConvolutions
from vmr_jax.layers.moment_map import map_cells, span_max, stretch_clips
from vmr_jax.layers.recurrent import BiGRU
from vmr_jax.layers.self_similarity import EdgeRows
from vmr_jax.layers.sequences import ClipConvolution, masked_mean, sinusoids, unit_rows
from vmr_jax.layers.transformer import TransformerLayer
from vmr_jax.models.mmcda.switches import has_joint_space, terms
from vmr_jax.models.switches import compute_dtype
from vmr_jax.types import Array, Batch, Config

_EPSILON = 1e-5  # of every LayerNorm
_KERNEL_INIT = nn.initializers.xavier_uniform()
_BOUNDARY_WIDTH = 5  # clips of the start and end heads


class SpanLogits(NamedTuple):
    """What the heads of base=span say of a video's clips, float32."""

    boundary: Array  # (B, N, 2) of start and end
    inside: Array  # (B, N) r


class Views(NamedTuple):
    """B videos and the queries that they are paired with; rows are zero on padding."""

    video: Array  # (B, N, D) F
    video_mask: Array  # (B, N)
    query: Array  # (B, M, D) W
    query_mask: Array  # (B, M)
    fused: Array  # (B, N, D) H
    # Unit vectors of the joint space, float32; None where no term trains it
    clips: Array | None  # (B, N, D) e_v
    sentence: Array | None  # (B, D) e_q
    logits: SpanLogits | Array  # with base=map2d (B, P) of the map's cells, float32

    @property
    def similarity(self) -> Array:
        """s, the cosine of each clip and the sentence: (B, N) float32, 0 without a joint space."""
        if self.clips is None:
            return jnp.zeros(self.video_mask.shape)
        return jnp.einsum("bnd,bd->bn", *self.joint)

    @property
    def joint(self) -> tuple[Array, Array]:
        """e_v and e_q, where there is a joint space."""
        return cast(tuple[Array, Array], (self.clips, self.sentence))


class MMCDA(nn.Module):
    """Encoders, interaction, localizer and joint space; the switches are configs/mmcda.py's."""

    config: Config

    def setup(self):
        config = self.config
        common = {"kernel_init": _KERNEL_INIT, "dtype": compute_dtype(config)}
        layer = common | {
            "width": config.dim,
            "heads": config.heads,
            "hidden": 4 * config.dim,
            "activation": nn.relu,
            "epsilon": _EPSILON,
            "dropout": config.dropout,
        }
        roles = ("both",) if config.share_encoders else ("source", "target")
        self.video_fc = {role: nn.Dense(config.dim, **common) for role in roles}
        if config.video_encoder == "bigru":
            self.video_encoder = BiGRU(config.dim, **common)
        else:
            self.video_encoder = TransformerLayer(**layer, pre_norm=False, drop_attended=True)
            if config.position == "learned":
                shape = (config.position_rows, config.dim)
                self.positions = self.param("positions", nn.initializers.normal(0.02), shape)
        self.query_encoder = BiGRU(config.dim, **common)
        self.interaction = FusionLayer(**layer)
        if config.base == "span":
            self.edges = EdgeRows(tuple(config.edges), compute_dtype(config))
            self.boundary = ClipConvolution(_BOUNDARY_WIDTH, 2, compute_dtype(config))
            self.inside = [nn.Dense(config.dim, **common), nn.Dense(1, **common)]
        else:
            self.map = MapConvolutions(
                config.map.clips,
                tuple(config.map.pooling_counts),
                config.map.kernel,
                config.map.layers,
                config.map.dim,
                dtype=compute_dtype(config),
            )
            self.cell = nn.Dense(1, **common)
        if has_joint_space(config):
            self.joint_video = nn.Dense(config.joint_dim, **common)
            self.joint_query = nn.Dense(config.joint_dim, **common)
        if config.da.kind == "adversarial":
            points = [name for name in config.da.points if f"domain_{name}" in terms(config)]
            self.domain = {
                name: DomainClassifier(config.dim, out="sigmoid", **common) for name in points
            }

    def __call__(self, batch: Batch, role: str, train: bool, key: Array | None = None) -> Views:
        """A batch of one domain, the `role`. Without a key there is no dropout.

        With `train` the map's batch normalisation reads the batch, and its running statistics
        follow where the caller makes them mutable.
        """
        video_key, meet_key = (None, None) if key is None else jax.random.split(key)
        mask, word_mask = batch.video_mask, batch.query_mask
        video = self.encode_videos(batch.video, mask, role, video_key)
        words = self.query_encoder(batch.query, word_mask)
        meet_keys = (None,) * 3 if meet_key is None else jax.random.split(meet_key, 3)
        memory = self.interaction.memory(words)
        fused = self.interaction.meet(video, memory, word_mask, meet_keys)
        fused = jnp.where(mask[..., None], fused, 0)
        if self.config.base == "span":
            first, second = self.inside
            edges = self.edges(batch.video, mask)
            boundary = self.boundary(jnp.concatenate([fused, edges.astype(fused.dtype)], axis=-1))
            inside = second(nn.relu(first(fused)))[..., 0].astype(jnp.float32)
            logits = SpanLogits(boundary, inside)
        else:
            parts = stretch_clips(fused, batch.num_clips, self.config.map.clips)
            rows = self.map(span_max(parts, map_cells(self.config.map)), train, batch.weight)
            logits = self.cell(rows.astype(compute_dtype(self.config)))[..., 0].astype(jnp.float32)
        clips = sentence = None
        if has_joint_space(self.config):
            projected = self.config.joint_clips == "projected"
            meets = self.project(batch.video, role) if projected else video
            clips = unit_rows(self.joint_video(meets)) * mask[..., None]
            asked = batch.query if self.config.joint_words == "given" else words
            sentence = unit_rows(self.joint_query(masked_mean(asked, word_mask)))
        return Views(video, mask, words, word_mask, fused, clips, sentence, logits)

    def encode_videos(self, video: Array, mask: Array, role: str, key: Array | None) -> Array:
        """Clips that have attended each other: (B, N, F), (B, N) -> (B, N, D), zero on padding."""
        config = self.config
        x = self.project(video, role)
        encoder = self.video_encoder
        if isinstance(encoder, BiGRU):
            return encoder(x, mask)
        length = video.shape[1]
        if config.position == "learned":
            positions = self.positions[:length]
        else:
            positions = sinusoids(length, config.dim)
        x, _ = encoder((x + positions).astype(x.dtype), mask[:, None, None], key)
        return jnp.where(mask[..., None], x, 0)

    def project(self, video: Array, role: str) -> Array:
        """Clips at the network's width: (B, N, F) -> (B, N, D)."""
        return self.video_fc["both" if self.config.share_encoders else role](video)

    def word_parts(self, batch: Batch, views: Views) -> Array:
        """What each word adds to s, which is their mean over a query's words: (B, N, M) float32.

        The sentence is a mean of words, so its projection is the mean of theirs.
        """
        asked = batch.query if self.config.joint_words == "given" else views.query
        words = self.joint_query(asked).astype(jnp.float32)
        sentence = self.joint_query(masked_mean(asked, views.query_mask))
        length = jnp.linalg.norm(sentence.astype(jnp.float32), axis=-1)[:, None, None]
        parts = jnp.einsum("bnd,bmd->bnm", views.joint[0], words) / jnp.maximum(length, 1e-8)
        return parts * views.query_mask[:, None]

    def classify(self, point: str, rows: Array) -> Array:
        """Log-odds of "target" for pooled features of one point: (B, D) -> (B,) float32."""
        return self.domain[point](rows)

    def every_part(self, batches: dict[str, Batch]) -> None:
        """Run all that has parameters, on one batch a domain: for `init`."""
        for role, batch in batches.items():
            self(batch, role, train=True)
        if self.config.da.kind == "adversarial":
            for point in self.domain:
                self.classify(point, jnp.zeros((1, self.config.dim)))
