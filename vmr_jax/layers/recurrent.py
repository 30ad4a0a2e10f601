"""Recurrent encoders of a query's words, and of a video's clips or frames."""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from vmr_jax.types import Array


class GRU(nn.Module):
    """One layer, left to right or `backward`; its recurrent kernels start orthogonal."""

    dim: int
    backward: bool = False
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        """All hidden states: (B, M, E) and (B, M), real words first -> (B, M, D), 0 on padding."""
        cell = nn.GRUCell(self.dim, kernel_init=self.kernel_init, dtype=self.dtype)
        if self.backward:  # each sequence starts at its own last real row
            run = nn.RNN(cell, reverse=True, keep_order=True)
            states = run(x.astype(self.dtype), seq_lengths=mask.sum(axis=-1))
        else:
            states = nn.RNN(cell)(x.astype(self.dtype))
        return jnp.where(mask[..., None], states, 0)


class BiGRU(nn.Module):
    """One layer in both directions, half of the channels each."""

    dim: int
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, mask: Array) -> Array:
        """(B, L, E) and (B, L), real rows first -> (B, L, D), 0 on padding. D is even."""
        half = {"dim": self.dim // 2, "kernel_init": self.kernel_init, "dtype": self.dtype}
        both = [GRU(**half)(x, mask), GRU(**half, backward=True)(x, mask)]
        return jnp.concatenate(both, axis=-1)


class LSTM(nn.Module):
    """One layer, first row to last."""

    dim: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The last hidden state: (B, L, E), all rows valid -> (B, D)."""
        cell = nn.OptimizedLSTMCell(self.dim, dtype=self.dtype)
        return nn.RNN(cell)(x.astype(self.dtype))[:, -1]
