"""Recurrent encoders of a query's words, and of a video's clips or frames."""

from collections.abc import Callable
from typing import Any, cast

import flax.linen as nn
import jax.numpy as jnp
from jaxtyping import Bool, Float

from vmr_jax.types import AnyArray, Array


class GRU(nn.Module):
    """One layer, left to right or `backward`; its recurrent kernels start orthogonal."""

    dim: int
    backward: bool = False
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B M E"], mask: Bool[AnyArray, "B M"]
    ) -> Float[Array, "B M {self.dim}"]:
        """All hidden states, real words first; 0 on padding."""
        cell = nn.GRUCell(self.dim, kernel_init=self.kernel_init, dtype=self.dtype)
        if self.backward:  # each sequence starts at its own last real row
            run = nn.RNN(cell, reverse=True, keep_order=True)
            states = run(jnp.asarray(x, self.dtype), seq_lengths=mask.sum(axis=-1))
        else:
            states = nn.RNN(cell)(jnp.asarray(x, self.dtype))
        return jnp.where(mask[..., None], cast(Array, states), 0)


class BiGRU(nn.Module):
    """One layer in both directions, half of the channels each."""

    dim: int
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, x: Float[AnyArray, "B L E"], mask: Bool[AnyArray, "B L"]
    ) -> Float[Array, "B L {self.dim}"]:
        """All hidden states, real rows first; 0 on padding. The width `dim` is even."""
        half = {"dim": self.dim // 2, "kernel_init": self.kernel_init, "dtype": self.dtype}
        both = [GRU(**half)(x, mask), GRU(**half, backward=True)(x, mask)]
        return jnp.concatenate(both, axis=-1)


class LSTM(nn.Module):
    """One layer, first row to last."""

    dim: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Float[AnyArray, "B L E"]) -> Float[Array, "B {self.dim}"]:
        """The last hidden state; all rows are valid."""
        cell = nn.OptimizedLSTMCell(self.dim, dtype=self.dtype)
        states = cast(Array, nn.RNN(cell)(jnp.asarray(x, self.dtype)))
        return states[:, -1]
