"""Dense attention and the video-language alignment function of VLANet (Eq. 7, 8)."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.layers.sequences import masked_softmax
from vmr_jax.types import Array


class Alignment(nn.Module):
    """E(x_n, Y) = sum_m tanh((W_1 x_n) . (W_2 y_m)), or the mean over m (VLANet V2).

    The score is x_n W_1 W_2^T y_m, so the product of both kernels is applied once, on the side
    with fewer rows.
    """

    dim: int
    reduce: str = "sum"
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    def setup(self):
        square = (self.dim, self.dim)
        self.first = self.param("first", self.kernel_init, square)
        self.second = self.param("second", self.kernel_init, square)

    def terms(self, x: Array, y: Array) -> Array:
        """tanh((W_1 x_n) . (W_2 y_m)): (B, N, D), (B, M, D) -> (B, N, M) float32."""
        kernel = (self.first @ self.second.T).astype(self.dtype)
        if x.shape[1] < y.shape[1]:
            x = x @ kernel
        else:
            y = y @ kernel.T
        return jnp.tanh(jnp.einsum("bnd,bmd->bnm", x, y, preferred_element_type=jnp.float32))

    def __call__(self, x: Array, y: Array, y_mask: Array) -> Array:
        """(B, N, D), (B, M, D), (B, M) -> (B, N) float32; rows of y off the mask do not count."""
        total = jnp.einsum("bnm,bm->bn", self.terms(x, y), y_mask.astype(jnp.float32))
        if self.reduce == "mean":
            total /= jnp.maximum(y_mask.sum(axis=-1, keepdims=True), 1)
        return total


def dense_attention(
    x: Array, energy: Array, mask: Array, rescale: bool = False
) -> tuple[Array, Array]:
    """A(X, Y) of Eq. 8, each row of X times its softmax weight, and the weights.

    x (B, N, D), energy E(x_n, Y) (B, N), mask (B, N) -> (B, N, D) and (B, N) float32, both zero
    off the mask. The weights sum to 1; with `rescale` to the number of valid rows (VLANet V3).
    """
    weight = masked_softmax(energy, mask)
    if rescale:
        weight *= mask.sum(axis=-1, keepdims=True)
    return (x * weight[..., None]).astype(x.dtype), weight
