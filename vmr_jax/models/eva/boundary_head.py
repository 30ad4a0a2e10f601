"""The boundary head of EVA's full branch (EVA, section 3.1), after XML of Lei et al. 2020."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.layers.attention import masked_softmax
from vmr_jax.layers.clip_convolution import convolve_clips
from vmr_jax.types import Array

_KERNEL = 5  # clips


class Boundaries(NamedTuple):
    """Scores of a video's clips, float32."""

    similarity: Array  # (B, N) S of each clip with the sentence; 0 on padding
    start: Array  # (B, N) logits; -1e10 on padding
    end: Array  # (B, N) logits; -1e10 on padding


class BoundaryHead(nn.Module):
    """Similarity of each clip with a modular query vector, and two 1-D convolutions over it."""

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
