"""BERT's encoder: DistilBERT base uncased (Sanh et al., 2019; MMN A14), MiniLM and other sizes."""

import re
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.layers.sequences import dropout
from vmr_jax.layers.transformer import layer_norm, transformer_stack
from vmr_jax.types import Array, Params
from vmr_jax.weights.fitting import Source, fit_tensors, linear, norm
from vmr_jax.weights.tensors import read_tensors

EPSILON = 1e-12


class DistilBertConfig(NamedTuple):
    """Sizes; the defaults are the base model's."""

    vocabulary: int = 30522
    context: int = 512
    width: int = 768
    layers: int = 6
    heads: int = 12
    dropout: float = 0.1


class DistilBert(nn.Module):
    """Token ids to one row a token.

    `dtype` is what the layers compute in; parameters, LayerNorm, softmax and output are float32.
    """

    config: DistilBertConfig = DistilBertConfig()
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self):
        config, init = self.config, nn.initializers.normal(0.02)
        self.tokens = self.param("tokens", init, (config.vocabulary, config.width))
        self.positions = self.param("positions", init, (config.context, config.width))
        self.norm = layer_norm(EPSILON)
        self.layers = transformer_stack(
            config.layers,
            self.remat,
            width=config.width,
            heads=config.heads,
            hidden=4 * config.width,
            activation=partial(jax.nn.gelu, approximate=False),
            pre_norm=False,
            epsilon=EPSILON,
            dropout=config.dropout,
            dtype=self.dtype,
        )

    def __call__(self, ids: Array, mask: Array, key: Array | None = None) -> Array:
        """Token ids (B, M) and mask (B, M), true on real tokens -> rows (B, M, D).

        Rows of padding mean nothing. Without a key there is no dropout. Raises ValueError for M
        above the context.
        """
        config, length = self.config, ids.shape[1]
        if length > config.context:
            raise ValueError(
                f"{length} tokens a sentence, but DistilBERT has positions for "
                f"{config.context}: tokenise with that context."
            )
        keys = None if key is None else jax.random.split(key, config.layers + 1)
        first, others = (None, None) if keys is None else (keys[0], keys[1:])
        rows = self.norm(self.tokens[ids] + self.positions[:length]).astype(self.dtype)
        rows = dropout(first, rows, config.dropout)
        rows, _ = self.layers(rows, mask[:, None, None], others)
        return rows.astype(jnp.float32)


def load_distilbert(path: str | Path, config: DistilBertConfig) -> Params:
    """Read the parameters from Hugging Face's model.safetensors, as float32 NumPy arrays.

    BERT's names, such as MiniLM's, are read as DistilBERT's: the vector of token type 0 is added to
    the positions. A pytorch_model.bin is read too; the head of the masked language model and BERT's
    pooler are skipped. Raises FileNotFoundError and ValueError as `read_tensors` and `fit_tensors`
    do.
    """
    tensors = {re.sub("^(distil)?bert\\.", "", name): x for name, x in read_tensors(path).items()}
    if _TYPES in tensors:
        tensors = _as_distilbert(tensors)
    ids = jnp.zeros((1, 1), jnp.int32)
    shapes = jax.eval_shape(DistilBert(config).init, jax.random.key(0), ids, ids == 0)
    return fit_tensors(tensors, _SOURCES, shapes["params"], _NO_ENCODER, path)


def _as_distilbert(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """BERT's tensors by DistilBERT's names."""
    named = {}
    for name, tensor in tensors.items():
        for bert, distilbert in _OF_BERT.items():
            name = name.replace(bert, distilbert)
        named[name] = tensor
    types, positions = named.pop(_TYPES), named.get(_POSITIONS)
    if positions is not None:
        named[_POSITIONS] = positions.astype(np.float32) + types[0].astype(np.float32)
    return named


_TYPES = "embeddings.token_type_embeddings.weight"
_POSITIONS = "embeddings.position_embeddings.weight"
_OF_BERT = {
    "encoder.layer.": "transformer.layer.",
    "attention.self.query": "attention.q_lin",
    "attention.self.key": "attention.k_lin",
    "attention.self.value": "attention.v_lin",
    "attention.output.dense": "attention.out_lin",
    "attention.output.LayerNorm": "sa_layer_norm",
    "intermediate.dense": "ffn.lin1",
    "output.dense": "ffn.lin2",
    "output.LayerNorm": "output_layer_norm",
}
_NO_ENCODER = (
    r"vocab_(transform|layer_norm|projector)\..*|.*\.position_ids|pooler\..*|cls\.predictions\..*"
)
_LAYER = "transformer.layer.{}"
_SOURCES = {
    "tokens": Source("embeddings.word_embeddings.weight"),
    "positions": Source(_POSITIONS),
    "norm": norm("embeddings.LayerNorm"),
    "layers": {
        "qkv": linear(*(f"{_LAYER}.attention.{part}_lin" for part in "qkv")),
        "out": linear(f"{_LAYER}.attention.out_lin"),
        "norm1": norm(f"{_LAYER}.sa_layer_norm"),
        "fc1": linear(f"{_LAYER}.ffn.lin1"),
        "fc2": linear(f"{_LAYER}.ffn.lin2"),
        "norm2": norm(f"{_LAYER}.output_layer_norm"),
    },
}
