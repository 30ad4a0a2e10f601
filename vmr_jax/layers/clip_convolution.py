"""Convolutions over the clips of a video."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.layers.map_convolution import symmetric_uniform
from vmr_jax.types import Array


class ClipConvolution(nn.Module):
    """A 1-D convolution of `width` clips without bias, which keeps the number of clips.

    It is one matrix product a tap: inside a scan, where training steps run, XLA's own convolution
    takes 20 to 40 times as long on a CPU. It starts uniform in +- (width D)^-0.5, as PyTorch's do.
    """

    width: int
    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., N, D) -> (..., N, features) float32; there is nothing beyond either end."""
        clips, half = x.shape[-2], self.width // 2
        shape = (self.width, x.shape[-1], self.features)
        bound = (self.width * x.shape[-1]) ** -0.5
        kernel = self.param("kernel", symmetric_uniform, shape, bound).astype(self.dtype)
        padded = jnp.pad(x.astype(self.dtype), [(0, 0)] * (x.ndim - 2) + [(half, half), (0, 0)])
        return sum(
            jnp.matmul(
                padded[..., tap : tap + clips, :], kernel[tap], preferred_element_type=jnp.float32
            )
            for tap in range(self.width)
        )
