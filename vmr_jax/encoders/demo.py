"""The encoder of the demo: snippets of its rendered world, and the sentences of its grammar.

About 240,000 parameters, which `python -m vmr_jax.demo.train_encoder` learns. Snippets are two
frames: that a thing moves, and where to, is seen in their difference. Other videos than rendered
ones, and other words, are beyond it.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.encoders.demo_words import MOST_WORDS, WORDS, word_ids
from vmr_jax.layers.recurrent import GRU
from vmr_jax.types import Array, Params
from vmr_jax.weights.tensors import read_tensors

WEIGHTS = Path(__file__).with_name("demo.safetensors")
SIZE = 32  # pixels
FRAMES = 2
CLIP_SECONDS = 0.25  # from a frame to the next: half a second for a snippet
_WIDTH = 128
_LAYERS = ((32, 4), (64, 4), (128, 3))  # width and kernel, of stride 2


class DemoImage(nn.Module):
    """`dtype` is what the layers compute in; parameters and output are float32."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: Array) -> Array:
        """Snippets (B, 2, 32, 32, 3), from 0 to 255 -> (B, 128)."""
        first, second = (frames[:, index].astype(self.dtype) / 128 - 1 for index in range(FRAMES))
        x = jnp.concatenate([second, 4 * (second - first)], axis=-1)
        for layer, (width, kernel) in enumerate(_LAYERS):
            x = nn.Conv(width, (kernel, kernel), (2, 2), dtype=self.dtype, name=f"conv{layer}")(x)
            x = nn.relu(nn.LayerNorm(dtype=self.dtype, name=f"norm{layer}")(x))
        x = jnp.concatenate([x.max(axis=(1, 2)), x.mean(axis=(1, 2))], axis=-1)
        x = nn.relu(nn.Dense(2 * _WIDTH, dtype=self.dtype, name="hidden")(x))
        return nn.Dense(_WIDTH, name="out")(x.astype(jnp.float32))


class DemoText(nn.Module):
    """A recurrent encoder of words."""

    @nn.compact
    def __call__(self, ids: Array) -> Array:
        """Rows of WORDS, (S, 8) int32, 0 on padding -> (S, 128)."""
        mask = ids > 0
        x = nn.Embed(len(WORDS), 32, name="words")(ids)
        states = GRU(64, name="gru")(x, mask)
        last = jnp.take_along_axis(states, mask.sum(axis=1)[:, None, None] - 1, axis=1)[:, 0]
        return nn.Dense(_WIDTH, name="out")(last)


def init_demo() -> dict[str, Any]:
    """Random parameters of both sides, "image" and "text"."""
    frames, ids = jnp.zeros((1, FRAMES, SIZE, SIZE, 3)), jnp.ones((1, MOST_WORDS), int)
    keys = jax.random.split(jax.random.key(0))
    image = jax.jit(DemoImage().init)(keys[0], frames)["params"]
    return {"image": image, "text": jax.jit(DemoText().init)(keys[1], ids)["params"]}


def load_demo(path: Path) -> dict[str, Any]:
    """The parameters of a file. Raises ValueError for one of another encoder."""
    tensors = read_tensors(path)
    shapes = jax.eval_shape(init_demo)

    def read(place: Any, leaf: Any) -> np.ndarray:
        name = jax.tree_util.keystr(place, simple=True, separator=".")
        if name not in tensors or tensors[name].shape != leaf.shape:
            raise ValueError(f"{path} is not of the encoder demo: no {name} of {leaf.shape}")
        return tensors[name].astype(np.float32)

    return jax.tree_util.tree_map_with_path(read, shapes)


def encode_snippets(params: Params, frames: Array, dtype: Any) -> Array:
    """Snippets (B, 2, 32, 32, 3), from 0 to 255 -> (B, 128) float32."""
    return cast(Array, DemoImage(dtype).apply({"params": params["image"]}, frames))


def encode_sentences(params: Params, sentences: Sequence[str]) -> np.ndarray:
    """The vectors (S, 128) float32 of sentences.

    Raises ValueError for a word that is not one of WORDS.
    """
    ids = np.stack([word_ids(sentence) for sentence in sentences])
    padded = np.ones((max(16, 1 << (len(ids) - 1).bit_length()), MOST_WORDS), np.int32)
    padded[: len(ids)] = ids  # few shapes are few compilations
    return np.asarray(encode_ids(params, padded))[: len(ids)]


@jax.jit
def encode_ids(params: Params, ids: Array) -> Array:
    """The vectors (S, 128) float32 of rows of WORDS (S, 8) int32."""
    return cast(Array, DemoText().apply({"params": params["text"]}, ids))
