"""Matching loss with negatives of the same batch (EVA, Eq. 4)."""

import jax
import jax.numpy as jnp

from vmr_jax.types import Array, LossTerms


def other_video(key: Array, video_id: Array, weight: Array) -> tuple[Array, Array]:
    """For each item draw another one of the batch that shows another video.

    Uniform over the items with another `video_id` (B,) and a positive `weight` (B,). Returns their
    index (B,) int32 and whether there was one (B,) bool; without one the index is arbitrary.
    """
    allowed = (video_id[:, None] != video_id[None, :]) & (weight[None, :] > 0)
    draw = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1)
    return jnp.argmax(draw, axis=-1), allowed.any(axis=-1)


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


def similarities(positive: Array, negative: Array, weight: Array) -> LossTerms:
    """What to watch of (B,) scores of pairs, and of the same videos with another query."""
    count = jnp.sum(weight)
    return {
        "similarity_positive": (jnp.sum(positive * weight), count),
        "similarity_negative": (jnp.sum(negative * weight), count),
    }
