"""Contrastive losses between pairs."""

import jax.numpy as jnp

from vmr_jax.types import Array


def hinge_loss(
    positive: Array, negative: Array, margin: float, weight: Array
) -> tuple[Array, Array]:
    """max(0, margin - c+ + c-) of (B,) scores (VLANet, Eq. 14): (weighted sum, sum of weights)."""
    return jnp.sum(jnp.maximum(0, margin - positive + negative) * weight), jnp.sum(weight)
