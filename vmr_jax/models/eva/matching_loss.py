"""Matching loss with negatives of the same batch (EVA, Eq. 4)."""

import jax
import jax.numpy as jnp

from vmr_jax.types import Array


def matching_loss(
    positive: Array,
    negative_query: Array,
    negative_video: Array,
    has_negative_query: Array,
    has_negative_video: Array,
    weight: Array,
) -> tuple[Array, Array]:
    """L_w of Eq. 4 from video-level logits, all (B,): (weighted sum, sum of weights).

    -2 log P(V|Q) - log(1 - P(V|Q-)) - log(1 - P(V-|Q)); a missing negative's term is left out.
    """
    loss = 2 * jax.nn.softplus(-positive)
    loss += jnp.where(has_negative_query, jax.nn.softplus(negative_query), 0)
    loss += jnp.where(has_negative_video, jax.nn.softplus(negative_video), 0)
    return jnp.sum(jnp.where(weight > 0, loss, 0) * weight), jnp.sum(weight)
