"""The network of Moment-DETR and QD-DETR: a video and a sentence -> spans, logits, saliency."""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.sequences import unit_rows
from vmr_jax.layers.transformer import layer_norm
from vmr_jax.models.detr.layers import (
    EPSILON,
    MLP,
    AnchorLayer,
    DecoderLayer,
    EncoderLayer,
    Linear,
    Projection,
    clip_positions,
    sine_embedding,
    split,
)
from vmr_jax.models.switches import compute_dtype
from vmr_jax.types import Array, Batch, Config

_SMALLEST = 1e-3  # of a share in [0, 1] and of its rest, before the logarithm of their ratio


class Found(NamedTuple):
    """What every decoder layer says of Q slots, best known after the last."""

    span: Array  # (layers, B, Q, 2) float32, centre and width as shares of the video
    logit: Array  # (layers, B, Q, 2) float32, of a moment and of nothing


Said = tuple[Found, Array, Array | None]  # with the saliency (B, N), and that of other sentences


class Memory(NamedTuple):
    """A video that has met a sentence; with `encoder=joint` the sentence's words follow."""

    rows: Array  # (B, L, D)
    mask: Array  # (B, L)
    position: Array  # (B, L, D)
    saliency: Array  # (B, N) float32


def logit_of(share: Array) -> Array:
    """log(x / (1 - x)) of x in [0, 1], both parts at least 1e-3."""
    share = jnp.clip(share, 0, 1)
    return jnp.log(jnp.maximum(share, _SMALLEST) / jnp.maximum(1 - share, _SMALLEST))


class DETR(nn.Module):
    """The switches are those of configs/moment_detr.py; D is `dim`, Q `slots`."""

    config: Config

    def setup(self):
        config = self.config
        dtype = compute_dtype(config)
        inputs = (config.dim, config.input.layers, config.input.dropout, dtype)
        self.video_projection, self.text_projection = Projection(*inputs), Projection(*inputs)
        sizes = (config.dim, config.heads, config.hidden, config.dropout)
        layers = range(config.encoder_layers)
        if config.encoder == "cross":
            self.cross_layers = [EncoderLayer(*sizes, keep_sum=True, dtype=dtype) for _ in layers]
        self.encoder_layers = [EncoderLayer(*sizes, dtype=dtype) for _ in layers]
        if config.saliency.head == "token":
            normal = nn.initializers.normal(1.0)
            self.token = self.param("token", normal, (2, config.dim))  # and its position
            self.saliency_clip = Linear(config.dim, dtype=dtype)
            self.saliency_token = Linear(config.dim, dtype=dtype)
        else:
            self.saliency_clip = Linear(1, dtype=dtype)
        self.decoder = (AnchorDecoder if config.decoder == "anchors" else SlotDecoder)(config)
        self.logit = Linear(2)

    def encode(
        self, batch: Batch, words: Array, word_mask: Array, clips: Array, key: Array | None
    ) -> Memory:
        """Projected clips (B, N, D) that have met projected words (B, M, D)."""
        config, mask = self.config, batch.video_mask
        cross, joint = split(key, 2)
        position = clip_positions(mask, config.dim)
        if config.encoder == "cross":
            for layer, own in zip(
                self.cross_layers, split(cross, config.encoder_layers), strict=True
            ):
                clips = layer(clips, position, words, 0.0, word_mask, own)
        rows, masks, positions = [clips], [mask], [position]
        if config.encoder == "joint":
            rows, masks = [*rows, words], [*masks, word_mask]
            positions = [*positions, jnp.zeros_like(words)]
        with_token = config.saliency.head == "token"
        if with_token:
            token = jnp.broadcast_to(self.token[:, None, None], (2, len(clips), 1, config.dim))
            rows, positions = [token[0], *rows], [token[1], *positions]
            masks = [jnp.ones((len(clips), 1), bool), *masks]
        rows, mask, position = (jnp.concatenate(x, axis=1) for x in (rows, masks, positions))
        for layer, own in zip(
            self.encoder_layers, split(joint, config.encoder_layers), strict=True
        ):
            rows = layer(rows, position, rows, position, mask, own)
        first = int(with_token)
        clips = rows[:, first : first + clips.shape[1]]
        saliency = self._saliency(clips, rows[:, 0])
        rows, mask, position = (x[:, first:] for x in (rows, mask, position))
        return Memory(rows, mask, position, saliency.astype(jnp.float32))

    def _saliency(self, clips: Array, token: Array) -> Array:
        """How salient each clip is: a linear layer, or the product with the token."""
        said = self.saliency_clip(clips)
        if self.config.saliency.head == "linear":
            return said[..., 0]
        return jnp.einsum("bnd,bd->bn", said, self.saliency_token(token)) * said.shape[-1] ** -0.5

    def __call__(self, batch: Batch, key: Array | None = None, *, negatives: bool = False) -> Said:
        """What is found, the saliency (B, N) of each clip, and that with the next pair's sentence.

        The last is None unless `negatives`. Without a key there is no dropout.
        """
        keys = split(key, 5)
        words = batch.query
        if self.config.input.unit_words:
            words = unit_rows(words)
        clips = with_endpoints(batch) if self.config.input.endpoints else batch.video
        clips = self.video_projection(clips, keys[0])
        words = self.text_projection(words, keys[1])
        memory = self.encode(batch, words, batch.query_mask, clips, keys[2])
        slots, span = self.decoder(memory, keys[3])
        found = Found(span, self.logit(slots).astype(jnp.float32))
        if not negatives:
            return found, memory.saliency, None
        words, word_mask = (jnp.roll(x, -1, axis=0) for x in (words, batch.query_mask))
        other = self.encode(batch, words, word_mask, clips, keys[4])
        return found, memory.saliency, other.saliency


def with_endpoints(batch: Batch) -> Array:
    """Clips with the shares of the video at which they start and end, (B, N, F + 2); 0 on padding.

    "tef" of the public code: temporal endpoint features (Lei et al., TVR, ECCV 2020).
    """
    count = jnp.maximum(batch.num_clips, 1)[:, None]
    edges = jnp.arange(batch.video.shape[1])[:, None] + jnp.arange(2)
    shares = jnp.where(batch.video_mask[..., None], edges / count[..., None], 0)
    return jnp.concatenate([batch.video, shares.astype(batch.video.dtype)], axis=-1)


class SlotDecoder(nn.Module):
    """Moment-DETR's: slots are learned positions, spans a function of what they have become."""

    config: Config

    @nn.compact
    def __call__(self, memory: Memory, key: Array | None) -> tuple[Array, Array]:
        """Slots (layers, B, Q, D) after each layer, normalised, and their spans (..., 2)."""
        config, dtype = self.config, compute_dtype(self.config)
        slot = self.param("slot", nn.initializers.normal(1.0), (config.slots, config.dim))
        norm, head = layer_norm(EPSILON), MLP(config.dim, 2, 3, dtype=dtype)
        x = jnp.zeros((len(memory.rows), *slot.shape))
        sizes = (config.dim, config.heads, config.hidden, config.dropout, dtype)
        states = []
        for own in split(key, config.decoder_layers):
            x = DecoderLayer(*sizes)(x, slot[None], memory.rows, memory.position, memory.mask, own)
            states.append(norm(x))
        states = jnp.stack(states)
        return states, jax.nn.sigmoid(head(states).astype(jnp.float32))


class AnchorDecoder(nn.Module):
    """QD-DETR's, after DAB-DETR: a slot is an anchor, a centre and a width that layers refine.

    A layer reads sines of the anchors, their scale and its modulation by the width. The next
    layer's anchors pass no gradient on, but the spans of a layer are told from anchors that do.
    """

    config: Config

    @nn.compact
    def __call__(self, memory: Memory, key: Array | None) -> tuple[Array, Array]:
        """Slots (layers, B, Q, D) after each layer, normalised, and their spans (..., 2)."""
        config, dtype = self.config, compute_dtype(self.config)
        dim, count = config.dim, len(memory.rows)
        start = self.param("anchor", nn.initializers.normal(1.0), (config.slots, 2))
        anchor = jnp.broadcast_to(jax.nn.sigmoid(start), (count, config.slots, 2))
        common = {"xavier": True, "dtype": dtype}
        of_sines = MLP(dim, dim, 2, name="slot", **common)
        scale = MLP(dim, dim, 2, name="scale", **common)
        width = MLP(dim, 1, 2, name="width", **common)
        refine = MLP(dim, 2, 3, zero_bias=True, name="refine", **common)
        norm, head = layer_norm(EPSILON), MLP(dim, 2, 3, dtype=dtype)
        sizes = (dim, config.heads, config.hidden, config.dropout)
        x = jnp.zeros((count, config.slots, dim))
        states, anchors = [], [anchor]
        for layer, own in enumerate(split(key, config.decoder_layers)):
            sines = [sine_embedding(anchor[..., part], dim // 2) for part in (0, 1)]
            sines = jnp.concatenate(sines, axis=-1)
            slot = of_sines(sines)
            sines = sines * scale(x) if layer else sines
            sines = sines * (jax.nn.sigmoid(width(x)) / anchor[..., 1:])
            step = AnchorLayer(*sizes, first=layer == 0, dtype=dtype)
            x = step(x, slot, sines, memory.rows, memory.position, memory.mask, own)
            moved = jax.nn.sigmoid(refine(x).astype(jnp.float32) + logit_of(anchor))
            anchors.append(moved)
            anchor = jax.lax.stop_gradient(moved)
            states.append(norm(x))
        states = jnp.stack(states)
        told_from = logit_of(jnp.stack(anchors[:-1]))
        return states, jax.nn.sigmoid(head(states).astype(jnp.float32) + told_from)
