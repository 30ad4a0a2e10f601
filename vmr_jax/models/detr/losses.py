"""The losses of Moment-DETR and QD-DETR: each is a weighted sum and its count.

Moments (B, A) are padded; saliency (B, N) is that of each clip, -1 outside of the moments. The
equations' names are those of docs/papers/moment_detr.md.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from vmr_jax.layers.sequences import masked_log_softmax
from vmr_jax.models.detr.matching import edges_of, generalized_iou
from vmr_jax.types import AnyArray, Array, Term

LEVELS = 12  # of a summed saliency: three annotators, 0 ... 4 each
TEMPERATURE = 0.5  # tau of QD-DETR's ranking


def span_losses(
    span: AnyArray,
    truth: AnyArray,
    matched: AnyArray,
    weight: AnyArray,
) -> tuple[Term, Term]:
    """L1 of centres and widths, and 1 - generalized IoU, means over all matched spans: L_moment.

    `span` (B, Q, 2), `truth` (B, A, 2), `matched` (B, Q, A), `weight` (B,).
    """
    share = matched * weight[:, None, None]
    distance = jnp.abs(span[:, :, None] - truth[:, None]).sum(axis=-1)
    overlap = generalized_iou(edges_of(span)[:, :, None], edges_of(truth)[:, None])
    count = share.sum()
    return (jnp.sum(share * distance), 2 * count), (jnp.sum(share * (1 - overlap)), count)


def label_loss(
    logit: AnyArray,
    matched: AnyArray,
    nothing: float,
    weight: AnyArray,
) -> Term:
    """Cross-entropy of "a moment" on matched slots and of "nothing", times `nothing`, on others.

    The mean is over all slots, whatever their class weighs. `logit` (B, Q, 2), `matched` (B, Q, A).
    """
    log_chance = jax.nn.log_softmax(logit, axis=-1)
    found = matched.any(axis=-1)
    each = -jnp.where(found, log_chance[..., 0], nothing * log_chance[..., 1])
    return jnp.sum(weight[:, None] * each), logit.shape[1] * jnp.sum(weight)


class ClipPairs(NamedTuple):
    """Clips of which the first should be more salient, two pairs a query: (B, 2) int32 each."""

    high: AnyArray
    low: AnyArray


def draw_pairs(key: Array, saliency: AnyArray, mask: AnyArray) -> ClipPairs:
    """A hard pair, the most and the least salient clip of the moments; and a random easy one.

    The easy one is a clip of the moments and one outside of them; where all clips are in moments
    it is the hard one. Where all clips of the moments are equally salient, as without such labels,
    both are easy (DETR D6). `saliency` (B, N), `mask` (B, N).
    """
    inside, outside = mask & (saliency >= 0), mask & (saliency < 0)
    of_inside, of_outside = jax.random.uniform(key, (2, 2, *mask.shape))
    pick = lambda score, of: jnp.argmax(jnp.where(of, score, -jnp.inf), axis=-1)  # noqa: E731
    hard = pick(saliency, inside), pick(-saliency, inside)
    easy = pick(of_inside, inside), pick(of_outside, outside)  # (2, B) each
    spread = jnp.take_along_axis(saliency, jnp.stack(hard, axis=1), axis=1)
    graded, surrounded = spread[:, 0] > spread[:, 1], outside.any(axis=-1)
    first = [jnp.where(graded | ~surrounded, h, e[0]) for h, e in zip(hard, easy, strict=True)]
    second = [jnp.where(surrounded, e[1], h) for h, e in zip(hard, easy, strict=True)]
    return ClipPairs(*(jnp.stack(pair, axis=1) for pair in zip(first, second, strict=True)))


def pair_loss(score: AnyArray, pairs: ClipPairs, margin: float, weight: AnyArray) -> Term:
    """The hinges of both pairs, max(0, margin + low - high), of scores (B, N): L_saliency."""
    high, low = (jnp.take_along_axis(score, clips, axis=1) for clips in pairs)
    each = jnp.maximum(0, margin + low - high).sum(axis=1)
    return jnp.sum(weight * each), jnp.sum(weight)


def ranking_loss(
    score: AnyArray,
    other: AnyArray,
    saliency: AnyArray,
    mask: AnyArray,
    has_other: AnyArray,
    weight: AnyArray,
) -> Term:
    """Clips of at least saliency r against all clips, with the `other` sentence's; r = 1 ... 11.

    -log of a softmax of the scores over tau, the mean over the clips above, summed over r and
    divided by 12; a level without clips is 0: L_cont. `score`, `other`, `mask` are (B, N).
    """
    clips = jnp.concatenate([mask, mask & has_other[:, None]], axis=1)
    scores = jnp.concatenate([score, other], axis=1) / TEMPERATURE
    log_chance = masked_log_softmax(scores, clips)[:, : mask.shape[1]]
    level = jnp.arange(1, LEVELS)[:, None, None]
    above = mask & (saliency >= level)  # (levels, B, N)
    mean = jnp.where(above, log_chance, 0).sum(axis=-1) / jnp.maximum(above.sum(axis=-1), 1)
    return jnp.sum(weight * -mean.sum(axis=0)) / LEVELS, jnp.sum(weight)


def negative_loss(other: AnyArray, mask: AnyArray, weight: AnyArray) -> Term:
    """The sum over clips of -log(1 - sigmoid(score)), (B, N), with another sentence: L_neg."""
    each = jnp.sum(jnp.where(mask, jax.nn.softplus(other), 0), axis=1)
    return jnp.sum(weight * each), jnp.sum(weight)
