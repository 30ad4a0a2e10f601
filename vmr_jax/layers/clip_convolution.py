"""Convolutions over the clips of a video."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.layers.map_convolution import symmetric_uniform
from vmr_jax.types import Array


class ClipConvolution(nn.Module):
    """A 1-D convolution of `width` clips without bias, which keeps the number of clips.

    One matrix product serves all taps, then they are added at their places: the rows are read once.
    It starts uniform in +- (width D)^-0.5, as PyTorch's do.
    """

    width: int
    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., N, D) -> (..., N, features) float32; there is nothing beyond either end."""
        shape = (self.width, x.shape[-1], self.features)
        bound = (self.width * x.shape[-1]) ** -0.5
        kernel = self.param("kernel", symmetric_uniform, shape, bound).astype(self.dtype)
        taps = jnp.einsum(
            "...nd,kdf->...knf", x.astype(self.dtype), kernel, preferred_element_type=jnp.float32
        )
        clips, half = x.shape[-2], self.width // 2
        edges = [(0, 0)] * (taps.ndim - 2) + [(half, half), (0, 0)]
        taps = jnp.pad(taps, edges)
        return sum(taps[..., k, k : k + clips, :] for k in range(self.width))
