"""Vectors of length 1."""

import jax
import jax.numpy as jnp

from vmr_jax.types import Array


def l2_normalize(x: Array, eps: float = 1e-8) -> Array:
    """x / |x| over the last axis, computed in float32, in the dtype of `x`.

    A vector shorter than `eps` becomes zero and gets no gradient.
    """
    y = x.astype(jnp.float32)
    square = jnp.sum(y * y, axis=-1, keepdims=True)
    long = square > eps**2
    scale = jnp.where(long, jax.lax.rsqrt(jnp.where(long, square, 1)), 0)
    return (y * scale).astype(x.dtype)


def unit_rows(x: Array, eps: float = 1e-8) -> Array:
    """`l2_normalize` in float32, whatever the dtype of `x`: (..., D) -> (..., D) float32."""
    return l2_normalize(x.astype(jnp.float32), eps)
