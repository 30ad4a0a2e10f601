"""Choices among the segments of a video, in static shapes: by overlap, and by boundary scores.

A segment is first ... last, inclusive clip indices.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.types import Array


class Segments(NamedTuple):
    """K segments each; one that is not valid is 0 ... 0."""

    first: Array  # (..., K) int32
    last: Array  # (..., K) int32
    valid: Array  # (..., K) bool


def overlapping_segments(span: Array, num_clips: Array, clips: int, most: int) -> Segments:
    """The segments whose IoU with a span is above 0.7, the best `most` of them, best first.

    Spans (B, 2) in videos of `num_clips` (B,) of at most N = `clips` clips -> (B, K), K the smaller
    of `most` and N^2. The IoU is of clip counts, compared as integers: 10 inter > 7 union. Source:
    PREM, section 3.4; PREM P15, PREM P16.
    """
    first, last = (edge[:, None, None] for edge in (span[:, 0], span[:, 1]))
    i, j = np.arange(clips)[:, None], np.arange(clips)
    inter = jnp.minimum(j, last) - jnp.maximum(i, first) + 1
    union = (j - i + 1) + (last - first + 1) - inter
    near = (i <= j) & (j < num_clips[:, None, None]) & (10 * inter > 7 * union)
    iou = jnp.where(near, inter / union, 0).reshape(len(span), -1)
    best, index = jax.lax.top_k(iou, min(most, clips**2))
    index = jnp.where(best > 0, index, 0)
    return Segments(index // clips, index % clips, best > 0)


def best_segments(
    start: Array, end: Array, mask: Array, shortest: int, longest: int, most: int
) -> tuple[Array, Segments]:
    """The segments with the largest start_i + end_j, the best `most` of them, best first.

    Logits and valid clips (..., N) -> the sums (..., K), -inf where there is no segment, and the
    segments (..., K), K the smaller of `most` and of N times the lengths. Only segments with
    shortest <= j - i <= longest count; of equal ones the smaller i, then the smaller j comes
    first. No gradient passes.
    """
    clips = start.shape[-1]
    lengths = np.arange(shortest, max(shortest, min(longest, clips - 1)) + 1)

    def at_last(x: Array) -> Array:
        """Of each first clip and length what the last clip has: (..., N) -> (..., N, lengths)."""
        padded = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, int(lengths[-1]))])
        return jnp.stack([padded[..., length : length + clips] for length in lengths], axis=-1)

    score = jax.lax.stop_gradient(start[..., None] + at_last(end))
    score = jnp.where(mask[..., None] & at_last(mask), score, -jnp.inf)
    score = score.reshape(*start.shape[:-1], -1)
    score, place = jax.lax.top_k(score, min(most, score.shape[-1]))
    valid = score > -jnp.inf
    first = place // len(lengths)
    last = first + shortest + place % len(lengths)
    return score, Segments(jnp.where(valid, first, 0), jnp.where(valid, last, 0), valid)
