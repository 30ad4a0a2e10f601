"""From scored spans to ranked moments in seconds."""

import functools

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from vmr_jax.decoding.nms import nms
from vmr_jax.layers.proposals import spans_to_seconds
from vmr_jax.types import Array, Batch, Moments


def rank_moments(
    start: Array, end: Array, score: Array, batch: Batch, settings: ConfigDict
) -> Moments:
    """The best K moments after NMS; half-open clip spans and scores are (B, P), -inf is padding.

    `settings` is a config's `eval`: top_k (K), nms, clip_to_duration.
    """
    start, end = spans_to_seconds(start, end, batch.num_clips, batch.duration)
    return rank_seconds(start, end, score, batch.duration, settings)


def rank_seconds(
    start: Array, end: Array, score: Array, duration: Array, settings: ConfigDict
) -> Moments:
    """The same for spans (B, P) in seconds, of videos of `duration` (B,)."""
    if settings.clip_to_duration:
        end = jnp.minimum(end, duration[:, None])
    suppress = functools.partial(nms, threshold=settings.nms, k=settings.top_k)
    return Moments(*jax.vmap(suppress)(start, end, score))
