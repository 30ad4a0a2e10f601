"""Convolutions over the clips of a video."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.layers.map_convolution import symmetric_uniform
from vmr_jax.types import Array


class ClipConvolution(nn.Module):
    """`convolve_clips` over `width` clips. It starts uniform in +- (width D)^-0.5, as PyTorch's."""

    width: int
    features: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """(..., N, D) -> (..., N, features) float32; there is nothing beyond either end."""
        shape = (self.width, x.shape[-1], self.features)
        bound = (self.width * x.shape[-1]) ** -0.5
        kernel = self.param("kernel", symmetric_uniform, shape, bound)
        return convolve_clips(x.astype(self.dtype), kernel.astype(self.dtype))


def convolve_clips(x: Array, kernel: Array) -> Array:
    """A 1-D convolution without bias: (..., N, D), (width, D, E) -> (..., N, E) float32.

    There is nothing beyond either end. It is one matrix product a tap: inside a scan, where
    training steps run, XLA's own convolution takes 20 to 40 times as long on a CPU.
    """
    width, clips = len(kernel), x.shape[-2]
    padded = jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(width // 2, width // 2), (0, 0)])
    return sum(
        jnp.matmul(
            padded[..., tap : tap + clips, :], kernel[tap], preferred_element_type=jnp.float32
        )
        for tap in range(width)
    )
