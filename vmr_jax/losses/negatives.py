"""Negative pairs of the same batch, and the similarities that a run watches."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from vmr_jax.types import AnyArray, Array, LossTerms


def rivals(
    video_id: Int[AnyArray, "B"], weight: Float[AnyArray, "B"], same_video: bool = False
) -> Bool[Array, "B B"]:
    """Which items are negatives of which; symmetric.

    Both are real, of a positive `weight`, and show different videos; with `same_video` they may
    show one video, but no item is its own negative.
    """
    weight = jnp.asarray(weight)
    real = (weight > 0) & (weight[:, None] > 0)
    if same_video:
        return real & ~jnp.eye(len(weight), dtype=bool)
    return real & (video_id != video_id[:, None])


def rival_mean(score: Float[AnyArray, "B B"], rival: Bool[AnyArray, "B B"]) -> Float[Array, "B"]:
    """Mean score of each item's rivals; 0 where there are none."""
    return jnp.sum(score, axis=1, where=rival) / jnp.maximum(rival.sum(axis=1), 1)


def other_video(
    key: PRNGKeyArray, video_id: Int[AnyArray, "B"], weight: Float[AnyArray, "B"]
) -> tuple[Int[Array, "B"], Bool[Array, "B"]]:
    """For each item draw another one of the batch that shows another video.

    Uniform over its `rivals`. Returns their index and whether there was one; without one the index
    is arbitrary.
    """
    allowed = rivals(video_id, weight)
    draw = jnp.where(allowed, jax.random.uniform(key, allowed.shape), -1)
    return jnp.argmax(draw, axis=-1), allowed.any(axis=-1)


def similarities(
    positive: Float[AnyArray, "B"], negative: Float[AnyArray, "B"], weight: Float[AnyArray, "B"]
) -> LossTerms:
    """What to watch of scores of pairs, and of the same videos with another query."""
    count = jnp.sum(weight)
    return {
        "similarity_positive": (jnp.sum(positive * weight), count),
        "similarity_negative": (jnp.sum(negative * weight), count),
    }
