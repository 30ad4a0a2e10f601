"""Negative pairs of the same batch, and the similarities that a run watches."""

import jax
import jax.numpy as jnp

from vmr_jax.types import Array, LossTerms


def rivals(video_id: Array, weight: Array, same_video: bool = False) -> Array:
    """Which items (B,) are negatives of which: (B, B) bool, symmetric.

    Both are real, of a positive `weight`, and show different videos; with `same_video` they may
    show one video, but no item is its own negative.
    """
    real = (weight > 0) & (weight[:, None] > 0)
    if same_video:
        return real & ~jnp.eye(len(weight), dtype=bool)
    return real & (video_id != video_id[:, None])


def rival_mean(score: Array, rival: Array) -> Array:
    """Mean score of each item's rivals: two (B, B) -> (B,); 0 where there are none."""
    return jnp.sum(score, axis=1, where=rival) / jnp.maximum(rival.sum(axis=1), 1)


def other_video(key: Array, video_id: Array, weight: Array) -> tuple[Array, Array]:
    """For each item draw another one of the batch that shows another video.

    Uniform over its `rivals`, by `video_id` (B,) and `weight` (B,). Returns their index (B,) int32
    and whether there was one (B,) bool; without one the index is arbitrary.
    """
    allowed = rivals(video_id, weight)
    draw = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1)
    return jnp.argmax(draw, axis=-1), allowed.any(axis=-1)


def similarities(positive: Array, negative: Array, weight: Array) -> LossTerms:
    """What to watch of (B,) scores of pairs, and of the same videos with another query."""
    count = jnp.sum(weight)
    return {
        "similarity_positive": (jnp.sum(positive * weight), count),
        "similarity_negative": (jnp.sum(negative * weight), count),
    }
