"""What PREM's localizer learns from: its boundary loss, and the spans that lie near a moment."""

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.decoding.spans import Spans
from vmr_jax.losses.boundary import boundary_loss
from vmr_jax.types import Array


def shared_norm_loss(
    start: Array, end: Array, span: Array, mask: Array, weight: Array, shared: bool = True
) -> tuple[Array, Array]:
    """L^st + L^ed: the cross-entropies of both boundaries over the valid clips of all C videos.

    Logits and mask (B, C, N), inclusive clips of the moment in the first video (B, 2), weights
    (B,): (weighted sum, sum of weights). Without `shared` only the first video counts.
    Source: PREM, Eq. 10; PREM P13, PREM P20.
    """
    if not shared:
        start, end, mask = start[:, :1], end[:, :1], mask[:, :1]
    start, end, mask = (x.reshape(len(x), -1) for x in (start, end, mask))
    return boundary_loss(start, end, span, mask, weight, "softmax")


def overlapping_spans(span: Array, num_clips: Array, clips: int, most: int) -> Spans:
    """The spans whose IoU with a moment is above 0.7, the best `most` of them, best first.

    Moments (B, 2) of inclusive clips, in videos of `num_clips` (B,) of at most N = `clips` clips ->
    (B, K), K the smaller of `most` and N^2; their score is the IoU. It is of clip counts, compared
    as integers: 10 inter > 7 union. Source: PREM, section 3.4; PREM P15, PREM P16.
    """
    first, last = (edge[:, None, None] for edge in (span[:, 0], span[:, 1]))
    i, j = np.arange(clips)[:, None], np.arange(clips)
    inter = jnp.minimum(j, last) - jnp.maximum(i, first) + 1
    union = (j - i + 1) + (last - first + 1) - inter
    near = (i <= j) & (j < num_clips[:, None, None]) & (10 * inter > 7 * union)
    iou = jnp.where(near, inter / union, -jnp.inf).reshape(len(span), -1)
    best, index = jax.lax.top_k(iou, min(most, clips**2))
    index = jnp.where(best > 0, index, 0)
    return Spans(index // clips, index % clips, best)
