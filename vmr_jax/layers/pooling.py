"""Maxima and means over the valid rows of a padded array."""

import jax.numpy as jnp

from vmr_jax.types import Array


def masked_max(x: Array, mask: Array) -> Array:
    """Largest value of each feature over the valid rows: (B, L, D), (B, L) -> (B, D).

    Zero where no row is valid. Max-pooling of Eq. 3 and 9 (EVA).
    """
    lowest = jnp.asarray(-1e9, x.dtype)
    highest = jnp.max(jnp.where(mask[..., None], x, lowest), axis=-2)
    return jnp.where(mask.any(axis=-1)[..., None], highest, 0)


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of each feature over the valid rows: (B, L, D), (B, L) -> (B, D) float32.

    Zero where no row is valid.
    """
    weight = mask.astype(jnp.float32)
    total = jnp.einsum("...ld,...l->...d", x.astype(jnp.float32), weight)
    return total / jnp.maximum(weight.sum(axis=-1), 1)[..., None]
