"""From the boundary logits of retrieved videos to the ranked moments of a corpus (PREM, Eq. 12)."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from vmr_jax.decoding.spans import search_spans
from vmr_jax.types import AnyArray, Array, Config, Moments


class Readout(NamedTuple):
    """How spans are scored and ranked."""

    min_l: int  # of last clip - first clip, inclusive
    max_l: int
    keep: int  # moments of a query; where there are fewer the rest is padding
    clip_seconds: float
    video_weight: float  # of S^R / temperature beside the logits
    temperature: float


def readout(config: Config) -> Readout:
    """The settings of a localizer's config. Raises ValueError where no span could be kept."""
    infer = config.infer
    if not 0 <= infer.min_l <= infer.max_l or infer.keep < 1:
        raise ValueError(
            f"infer.min_l is {infer.min_l}, infer.max_l {infer.max_l}, infer.keep {infer.keep}: "
            "needed are 0 <= min_l <= max_l (clips), and keep of at least 1"
        )
    return Readout(
        min_l=infer.min_l,
        max_l=infer.max_l,
        keep=infer.keep,
        clip_seconds=config.clip_seconds,
        video_weight=config.score.video_weight,
        temperature=config.temperature,
    )


def most_moments(clips: int, settings: Readout) -> int:
    """How many spans a video of N = `clips` clips may have, or more."""
    lengths = min(clips, settings.max_l + 1) - settings.min_l
    return max(1, clips * lengths)


@functools.partial(jax.jit, static_argnames="settings")
def best_moments(
    start_logits: Float[AnyArray, "B C N"],
    end_logits: Float[AnyArray, "B C N"],
    mask: Bool[AnyArray, "B C N"],
    video_score: Float[AnyArray, "B C"],
    row: Int[AnyArray, "B C"],
    durations: Float[AnyArray, "B C"],
    settings: Readout,
) -> Moments:
    """The best K = `settings.keep` spans of the C videos of each query, ranked together.

    Real clips come first, and the best video first; video_score is S^R, durations are seconds,
    row tells the videos in the corpus. The score of clips i ... j is video_weight S^R / temperature
    + start_i + end_j (PREM, Eq. 12) where min_l <= j - i <= max_l, its seconds are
    [i clip_seconds, min((j + 1) clip_seconds, duration)]. Ties: the better video, then smaller i,
    then smaller j. A video too short for min_l has one span, the whole of it; a video without
    clips has none. Where there are fewer than K spans the rest has score -inf and video -1.
    """
    each = min(settings.keep, most_moments(mask.shape[-1], settings))
    spans = search_spans(
        start_logits,
        end_logits,
        mask,
        most=each,
        shortest=settings.min_l,
        longest=settings.max_l,
        whole_if_short=True,
    )
    prior = settings.video_weight * video_score / settings.temperature
    score = jnp.where(spans.valid, prior[..., None] + spans.score, -jnp.inf)
    score, first, last = (x.reshape(len(x), -1) for x in (score, spans.first, spans.last))
    missing = ((0, 0), (0, max(settings.keep - score.shape[1], 0)))
    score = jnp.pad(score, missing, constant_values=-jnp.inf)
    score, place = jax.lax.top_k(score, settings.keep)
    place = jnp.minimum(place, first.shape[1] - 1)
    video = place // each
    start = settings.clip_seconds * _take(first, place).astype(jnp.float32)
    end = settings.clip_seconds * (_take(last, place) + 1).astype(jnp.float32)
    found = ~jnp.isneginf(score)
    return Moments(
        start=jnp.where(found, start, 0),
        end=jnp.where(found, jnp.minimum(end, _take(durations, video)), 0),
        score=score,
        video=jnp.where(found, _take(row, video), -1),
    )


def _take(values: AnyArray, place: Array) -> Array:
    return jnp.take_along_axis(values, place, axis=-1)
