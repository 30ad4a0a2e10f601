"""The network of MMN: sentences, moment maps, and the two joint spaces (Wang et al., AAAI 2022)."""

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.data.text.tokens import STORED
from vmr_jax.encoders.clip import ClipText, ClipTextConfig
from vmr_jax.encoders.distilbert import DistilBert, DistilBertConfig
from vmr_jax.encoders.sentence import read_sizes
from vmr_jax.layers.map_convolution import MapConvolutions
from vmr_jax.layers.moment_map import Cells, map_cells, pool_clips, span_max, span_mean
from vmr_jax.layers.self_similarity import PARTS, WIDTH, moment_similarities
from vmr_jax.layers.sequences import (
    masked_mean,
    symmetric_uniform,
    unit_rows,
)
from vmr_jax.layers.transformer import layer_norm
from vmr_jax.models.switches import compute_dtype
from vmr_jax.types import Array, Config, VideoBatch

_SMALL = {"width": 64, "layers": 2, "heads": 4}


class Joint(NamedTuple):
    """Unit vectors in the spaces of the IoU scores and of the contrastive scores."""

    iou: Array  # (B, P, D) cells or (T, D) queries, float32
    contrastive: Array  # the same


class MMN(nn.Module):
    """Two Joints, of the cells and of the queries; the switches are those of configs/mmn.py."""

    config: Config
    video_dim: int  # F
    vocabulary: int  # token ids are below it
    word_dim: int = 0  # E, of stored features of tokens

    def setup(self):
        config = self.config
        dtype = compute_dtype(config)
        if config.text.encoder == STORED:
            width = self.word_dim
        else:
            sizes = text_sizes(config.text, self.vocabulary)
            if isinstance(sizes, ClipTextConfig):
                self.text_encoder = ClipText(sizes, config.text.remat, dtype)
            else:
                self.text_encoder = DistilBert(sizes, config.text.remat, dtype)
            width = sentence_width(sizes)
        if config.text.encoder != "clip" or config.text.extra_ln:
            self.text_norm = layer_norm(1e-5)
        self.query_iou = _linear(width, config.joint_dim, dtype)
        self.query_contrastive = _linear(width, config.joint_dim, dtype)
        if config.video.conv:
            self.video_fc = _linear(self.video_dim, config.dim, dtype)
        self.map = MapConvolutions(
            config.map.clips,
            tuple(config.map.pooling_counts),
            config.map.kernel,
            config.map.layers,
            config.dim,
            form=config.map.form,
            group_size=config.contrastive.group_size,
            dtype=dtype,
        )
        if config.map.edges:
            self.edges = [_linear(PARTS, WIDTH, dtype), _linear(WIDTH, config.dim, dtype)]
        self.cell_iou = _linear(config.dim, config.joint_dim, dtype)
        self.cell_contrastive = _linear(config.dim, config.joint_dim, dtype)

    def sentences(
        self,
        tokens: Array,
        mask: Array,
        key: Array | None = None,
        replacement: tuple[Array, Array] | None = None,
    ) -> Array:
        """The text encoder's feature of each query: (T, M), (T, M) -> (T, D) float32.

        DistilBERT's is the mean over all real tokens, CLIP's stands at the end of text. Tokens off
        the mask are not attended. Without a key there is no dropout. `replacement` is that of
        ClipText; DistilBERT takes none. Stored features of tokens, (T, M, E), are averaged.
        """
        if self.config.text.encoder == STORED:
            return masked_mean(tokens.astype(jnp.float32), mask)
        encoder = self.text_encoder
        if isinstance(encoder, ClipText):
            return encoder(tokens, mask, replacement)
        return masked_mean(encoder(tokens, mask, key), mask)

    def queries(self, sentences: Array) -> Joint:
        """Sentence features (T, D) -> Joint of (T, D)."""
        if self.config.text.encoder != "clip" or self.config.text.extra_ln:
            sentences = self.text_norm(sentences)
        return _unit(self.query_iou(sentences), self.query_contrastive(sentences))

    def maps(self, video: Array, weight: Array, train: bool) -> Joint:
        """Binned videos (B, N, F), weights (B,) -> Joint of the valid cells, (B, P, D).

        In training batch normalisation reads the videos of weight 1.
        """
        cells, steps = map_cells(self.config.map), video
        if self.config.video.conv:
            video = nn.relu(self.video_fc(video))
        clips = pool_clips(video, cells.clips)
        pooled = span_max(clips, cells)
        rows = self.map(pooled, train, weight)
        if self.config.map.edges:
            rows = rows + self.edge_rows(steps, cells)
        meets_sentences = {
            "convolved": lambda: rows,
            "pooled": lambda: pooled,
            "mean": lambda: span_mean(clips, cells),
        }[self.config.contrastive.cells]
        return _unit(self.cell_iou(rows), self.cell_contrastive(meets_sentences()))

    def edge_rows(self, video: Array, cells: Cells) -> Array:
        """What is added to each cell where scenes change at its edges: (B, N, F) -> (B, P, D)."""
        steps = video.shape[1] // cells.clips
        spans = cells.row * steps, (cells.column + 1) * steps
        first, second = self.edges
        return second(nn.relu(first(moment_similarities(video, *spans, self.config.map.edges))))

    def __call__(
        self, batch: VideoBatch, train: bool, key: Array | None = None
    ) -> tuple[Joint, Joint]:
        """The cells and the queries of a batch."""
        sentences = self.sentences(batch.tokens, batch.token_mask, key)
        return self.maps(batch.video, batch.weight, train), self.queries(sentences)


def text_sizes(text: Config, vocabulary: int) -> ClipTextConfig | DistilBertConfig:
    """The sizes of a config's text encoder, with a row for each of `vocabulary` token ids.

    A BERT's are those of the config.json beside its tokeniser, DistilBERT base's where there is
    none. Raises ValueError as `read_sizes`.
    """
    if text.encoder == "clip":
        sizes = ClipTextConfig(vocabulary=vocabulary)
        small = _SMALL | {"projection": _SMALL["width"]}
    else:
        sizes, small = DistilBertConfig(vocabulary=vocabulary), _SMALL
        beside = _beside(text.tokenizer)
        if text.size == "base" and beside.exists():
            sizes = read_sizes(beside)._replace(vocabulary=vocabulary)
    return sizes._replace(**small) if text.size == "small" else sizes


def _beside(tokenizer: str) -> Path:
    """The config.json in a tokeniser's folder."""
    path = Path(tokenizer)
    return (path if path.is_dir() else path.parent) / "config.json"


def sentence_width(sizes: ClipTextConfig | DistilBertConfig) -> int:
    """D of a text encoder's sentence features."""
    return sizes.projection if isinstance(sizes, ClipTextConfig) else sizes.width


def _linear(inputs: int, features: int, dtype: Any) -> nn.Dense:
    """A linear layer that starts as PyTorch's do: weights and bias uniform in +- inputs^-0.5."""

    def init(key: Array, shape: tuple[int, ...], _: Any) -> Array:
        return symmetric_uniform(key, shape, inputs**-0.5)

    return nn.Dense(features, kernel_init=init, bias_init=init, dtype=dtype)


def _unit(iou: Array, contrastive: Array) -> Joint:
    """Both divided by their lengths, float32."""
    return Joint(*(unit_rows(x, 1e-12) for x in (iou, contrastive)))
