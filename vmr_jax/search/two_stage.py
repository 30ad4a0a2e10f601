"""Moments of the best videos: boundaries of each, ranked over all of them (PREM, Eq. 12)."""

import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vmr_jax.decoding.segments import best_segments
from vmr_jax.search.code_store import CodeStore, fetch
from vmr_jax.types import Array, Localizer, Moments, Params, Queries

# Clips that are looked at at a time, about. On a CPU what a Transformer layer makes of so many
# stays in the cache: queries one by one are a third faster than eight together.
_CPU_CLIPS, _CLIPS = 1000, 16_000


class Readout(NamedTuple):
    """How spans are scored and ranked."""

    min_l: int  # of last clip - first clip, inclusive
    max_l: int
    keep: int  # moments of a query; where there are fewer the rest is padding
    clip_seconds: float
    video_weight: float  # of S^R / temperature beside the logits
    temperature: float


def readout(config: ConfigDict) -> Readout:
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


def make_finder(localizer: Localizer, settings: Readout) -> Callable[..., Moments]:
    """How the moments of queries are found in the videos that were retrieved for them.

    Returns find(params, queries of B, score (B, C), row (B, C), store) -> Moments (B, K). Rows and
    scores are those of `exact.top_videos`, the store has the localizer's codes of the corpus.
    A few queries are looked at together; their videos are padded to a few lengths, for each of
    which a program is compiled once.
    """

    @jax.jit
    def locate(params: Params, queries: Queries, code, mask, score, row, duration) -> Moments:
        code = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), code)
        start, end = localizer.locate(params, localizer.encode_queries(params, queries), code, mask)
        return best_moments(start, end, mask, score, row, duration, settings)

    def find(params: Params, queries: Queries, score, row, store: CodeStore) -> Moments:
        score, row = np.asarray(score), np.asarray(row)
        clips = _CPU_CLIPS if jax.default_backend() == "cpu" else _CLIPS
        size = clips // max(1, row.shape[1] * int(store.num_clips.max()))
        found, size = [], min(max(1, size), len(row))
        for first in range(0, len(row), size):
            # The last queries are filled up with others, whose moments are cut off again.
            some = np.minimum(np.arange(first, first + size), len(row) - 1)
            code, mask, duration = fetch(store, row[some])
            asked = jax.tree.map(lambda leaf, some=some: leaf[some], queries)
            found.append(locate(params, asked, code, mask, score[some], row[some], duration))
            jax.block_until_ready(found[-2:-1])  # the codes of two steps are in memory, no more
        return jax.tree.map(lambda *parts: jnp.concatenate(parts)[: len(row)], *found)

    return find


@functools.partial(jax.jit, static_argnames="settings")
def best_moments(
    start_logits: Array,
    end_logits: Array,
    mask: Array,
    video_score: Array,
    row: Array,
    durations: Array,
    settings: Readout,
) -> Moments:
    """The best K = `settings.keep` spans of the C videos of each query, ranked together.

    Logits and mask are (B, C, N), real clips first; video_score S^R, row and durations (seconds)
    are (B, C), the best video first. The score of clips i ... j is video_weight S^R / temperature
    + start_i + end_j (PREM, Eq. 12) where min_l <= j - i <= max_l, its seconds are
    [i clip_seconds, min((j + 1) clip_seconds, duration)]. Ties: the better video, then smaller i,
    then smaller j. A video too short for min_l has one span, the whole of it; a video without
    clips has none. Where there are fewer than K spans the rest has score -inf and video -1.
    """
    limits = settings.min_l, settings.max_l, settings.keep
    score, spans = best_segments(start_logits, end_logits, mask, *limits)
    prior = settings.video_weight * video_score / settings.temperature
    score = jnp.where(spans.valid, prior[..., None] + score, -jnp.inf)

    count = mask.sum(axis=-1)
    final = jnp.maximum(count - 1, 0)
    whole = prior + start_logits[..., 0] + _take(end_logits, final[..., None])[..., 0]
    whole = jnp.where(count > 0, whole, -jnp.inf)[..., None]
    alone = jnp.where(jnp.arange(score.shape[-1]) == 0, whole, -jnp.inf)
    short = (count <= settings.min_l)[..., None]
    score = jnp.where(short, alone, score)
    first, last = spans.first, jnp.where(short, final[..., None], spans.last)

    each = score.shape[-1]
    score, first, last = (x.reshape(len(x), -1) for x in (score, first, last))
    # What is missing has places after the last video, whose boundaries are masked below.
    missing = max(settings.keep - score.shape[-1], 0)
    score = jnp.pad(score, ((0, 0), (0, missing)), constant_values=-jnp.inf)
    score, place = jax.lax.top_k(score, settings.keep)
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


def _take(values: Array, place: Array) -> Array:
    return jnp.take_along_axis(values, place, axis=-1)
