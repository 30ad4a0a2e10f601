"""The encoders of PREM, of queries and of videos; its retriever is no more (PREM, section 3.3)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.sequences import dropout, masked_max, masked_mean, masked_softmax, sinusoids
from vmr_jax.layers.transformer import TransformerLayer, layer_norm
from vmr_jax.models.switches import compute_dtype
from vmr_jax.types import AnyArray, Array, Config, Queries, Videos

EPSILON = 1e-5  # of every LayerNorm
KERNEL_INIT = nn.initializers.normal(0.02)


class EncodedQueries(NamedTuple):
    """Queries before they meet a video."""

    words: Array  # (B, M, D)
    vectors: Array  # (B, J, D) float32, q^d (PREM, Eq. 5)


class SequenceEncoder(nn.Module):
    """J modalities of a sequence: an FC each, embeddings, one Transformer layer over all rows.

    The FC reads normalised rows, with dropout, and a ReLU follows. Position embeddings are shared
    by the modalities; those have one of their own where J > 1. LayerNorm and dropout follow.
    Source: PREM P2.
    """

    modalities: tuple[str, ...]
    unit: str  # what a row is, for errors
    rows: int  # of the position table
    config: Config
    dtype: Any = jnp.float32

    def setup(self):
        config = self.config
        self.input_norms = {name: layer_norm(EPSILON) for name in self.modalities}
        self.inputs = {
            name: nn.Dense(config.dim, kernel_init=KERNEL_INIT, dtype=self.dtype)
            for name in self.modalities
        }
        if config.pos == "learned":
            self.positions = self.param("positions", KERNEL_INIT, (self.rows, config.dim))
        else:
            self.positions = sinusoids(self.rows, config.dim)
        if len(self.modalities) > 1:
            shape = (len(self.modalities), config.dim)
            self.modality_rows = self.param("modality_rows", KERNEL_INIT, shape)
        self.norm = layer_norm(EPSILON)
        self.layer = TransformerLayer(
            **layer_sizes(config), pre_norm=False, drop_attended=True, dtype=self.dtype
        )

    def __call__(
        self, features: Mapping[str, AnyArray], mask: AnyArray, key: Array | None = None
    ) -> Array:
        """Features (B, L, F) by modality, mask (B, J, L) -> (B, J, L, D), zero off the mask.

        Without a key there is no dropout. Raises ValueError for more rows than positions.
        """
        batch, modalities, length = mask.shape
        if length > self.rows:
            raise ValueError(
                f"{length} {self.unit} do not fit PREM's table of {self.rows} positions: cut them, "
                f"or train with config.target.max_{self.unit}={length}."
            )
        keys = (None,) * (modalities + 2) if key is None else jax.random.split(key, modalities + 2)
        rate = self.config.dropout
        rows = []
        for name, input_key in zip(self.modalities, keys[2:], strict=True):
            normal = dropout(input_key, self.input_norms[name](features[name]), rate)
            rows.append(nn.relu(self.inputs[name](normal.astype(self.dtype))))
        x = jnp.stack(rows, axis=1).astype(jnp.float32) + self.positions[:length]
        if modalities > 1:
            x = x + self.modality_rows[:, None]
        x = dropout(keys[0], self.norm(x), rate).astype(self.dtype)
        x = x.reshape(batch, modalities * length, -1)
        x, _ = self.layer(x, mask.reshape(batch, 1, 1, modalities * length), keys[1])
        return jnp.where(mask[..., None], x.reshape(batch, modalities, length, -1), 0)


class PremEncoder(nn.Module):
    """Both encoders and modality-specific pooling; the switches are those of the config files."""

    config: Config
    max_clips: int
    max_words: int

    def setup(self):
        config, dtype = self.config, compute_dtype(self.config)
        modalities = tuple(config.modalities)
        self.query = SequenceEncoder(("words",), "words", self.max_words, config, dtype)
        self.video = SequenceEncoder(modalities, "clips", self.max_clips, config, dtype)
        if config.pooling == "modality":
            self.word_score = nn.Dense(
                len(modalities), use_bias=False, kernel_init=KERNEL_INIT, dtype=dtype
            )

    def queries(self, queries: Queries, key: Array | None = None) -> EncodedQueries:
        """The words' rows, and what each modality pools of them (PREM, Eq. 5)."""
        mask = queries.query_mask
        words = self.query({"words": queries.query}, mask[:, None], key)[:, 0]
        if self.config.pooling == "modality":
            weight = self.word_weights(words, mask)
            vectors = jnp.einsum("bjm,bmd->bjd", weight, words.astype(jnp.float32))
        else:
            pool = {"mean": masked_mean, "max": masked_max}[self.config.pooling]
            one = pool(words, mask).astype(jnp.float32)[:, None]
            vectors = jnp.repeat(one, len(self.config.modalities), axis=1)
        return EncodedQueries(words, vectors)

    def word_weights(self, words: Array, mask: AnyArray) -> Array:
        """alpha of PREM, Eq. 5 for each modality: words (B, M, D), (B, M) -> (B, J, M) float32."""
        return masked_softmax(jnp.swapaxes(self.word_score(words), 1, 2), mask[:, None])

    def videos(self, videos: Videos, key: Array | None = None) -> Array:
        """The clips of each modality, (B, N, J, D), zero off the mask.

        With `sub.mask_empty` a clip without subtitles is off the mask of that modality (PREM P3).
        """
        features = {"image": videos.video, "sub": videos.sub}
        masks = {"image": videos.video_mask, "sub": videos.video_mask}
        names = tuple(self.config.modalities)
        if "sub" in names and self.config.sub.mask_empty:
            masks["sub"] = videos.video_mask & jnp.any(videos.sub != 0, axis=-1)
        mask = jnp.stack([masks[name] for name in names], axis=1)
        rows = self.video({name: features[name] for name in names}, mask, key)
        return jnp.swapaxes(rows, 1, 2)

    def __call__(
        self, videos: Videos, queries: Queries, key: Array | None = None
    ) -> tuple[Array, EncodedQueries]:
        """Clips and queries."""
        keys = (None, None) if key is None else jax.random.split(key)
        return self.videos(videos, keys[0]), self.queries(queries, keys[1])


def layer_sizes(config: Config) -> dict[str, Any]:
    """What every Transformer layer of PREM is made of (PREM, section 4.2)."""
    return {
        "width": config.dim,
        "heads": config.heads,
        "hidden": 4 * config.dim,
        "activation": nn.relu if config.act == "relu" else _gelu,
        "epsilon": EPSILON,
        "dropout": config.dropout,
        "kernel_init": KERNEL_INIT,
    }


def _gelu(x: Array) -> Array:
    return nn.gelu(x, approximate=False)
