"""Negative pairs of the same batch, and the similarities that a run watches."""

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


def similarities(positive: Array, negative: Array, weight: Array) -> LossTerms:
    """What to watch of (B,) scores of pairs, and of the same videos with another query."""
    count = jnp.sum(weight)
    return {
        "similarity_positive": (jnp.sum(positive * weight), count),
        "similarity_negative": (jnp.sum(negative * weight), count),
    }
