"""MMN's losses over the cells of moment maps: scaled IoU and mutual matching (VDI, Eq. 7 and 8).

T queries meet the P valid cells of B videos; k of its own video's cells are a query's positives.
The weight of padding is 0.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Int32

from vmr_jax.losses.contrastive import NOTHING
from vmr_jax.types import AnyArray, Array, Term

NEGATIVE_MASKS = ("exclude", "legacy_one")
NEGATIVE_IOU = 0.5  # a cell or query of the same video is a negative below this IoU


class Matches(NamedTuple):
    """T queries against the maps of B videos."""

    score: Float[AnyArray, "T B P"]  # cosine of each query and each cell
    iou: Float[AnyArray, "T P"]  # of each cell of the query's own video with its moment
    best: Int[AnyArray, "T k"]  # the positive cells
    moment: Float[AnyArray, "T 2"]  # seconds
    owner: Int[AnyArray, "T"]  # which of the B videos a query is about
    weight: Float[AnyArray, "T"]  # 1 on real queries
    video_weight: Float[AnyArray, "B"]  # 1 on real videos


def best_cells(iou: Float[AnyArray, "T P"], count: int) -> Int32[Array, "T {count}"]:
    """The `count` cells of largest IoU, of equal ones the first (MMN A8)."""
    return jax.lax.top_k(iou, count)[1]


def scale_iou(iou: Float[AnyArray, "*shape"], low: float, high: float) -> Float[Array, "*shape"]:
    """Labels in [0, 1] from IoUs: 0 up to `low`, 1 from `high` on, linear between (MMN A7)."""
    return jnp.clip((iou - low) / (high - low), 0, 1)


def iou_loss(
    logit: Float[AnyArray, "T P"], label: Float[AnyArray, "T P"], weight: Float[AnyArray, "T"]
) -> Term:
    """VDI, Eq. 7: binary cross-entropy of cells: (weighted sum, count)."""
    loss = (jax.nn.softplus(logit) - label * logit) * weight[:, None]
    return jnp.sum(loss), jnp.sum(weight) * logit.shape[1]


def moment_to_sentence(matches: Matches, margin: float, tau: float, group_size: int = 0) -> Term:
    """p^q of VDI, Eq. 8, a moment's sentence against the others: (weighted sum, count).

    Negatives are the sentences of other videos, and those of the same video whose moment has an
    IoU below 0.5 with this one's (MMN A10). With `group_size` only videos of the same group of so
    many count (MMN A5); 0 is the whole batch.
    """
    owner, best = matches.owner[:, None], matches.best
    same_video = matches.owner == owner
    rival = jnp.where(same_video, _overlap(matches.moment) < NEGATIVE_IOU, True)
    rival &= _same_group(owner, matches.owner, group_size) & (matches.weight > 0)
    at_best = matches.score[:, owner, best]  # (T sentences, T moments, k)
    logit = jnp.where(rival.T[..., None], at_best / tau, NOTHING)
    return _told_apart(matches, jax.nn.logsumexp(logit, axis=0), margin, tau)


def sentence_to_moment(
    matches: Matches,
    margin: float,
    tau: float,
    epsilon: float,
    negatives: str = "exclude",
    group_size: int = 0,
) -> Term:
    """p^m of VDI, Eq. 8, a sentence's moment against the other cells: (weighted sum, count).

    Negatives are all cells of other videos (`group_size` as in moment_to_sentence), and those
    of the same video with an IoU below 0.5. `negatives` is "exclude", with which no positive cell
    is a negative, or "legacy_one": positive cells may be, and every cell of the same video at an
    IoU of 0.5 or more adds 1 to the sum (MMN A11). The sum also has `epsilon`.
    """
    videos, cells = matches.score.shape[1:]
    owner = matches.owner[:, None]
    inside = matches.iou < NEGATIVE_IOU
    extra = epsilon
    if negatives == "exclude":
        inside &= ~jax.nn.one_hot(matches.best, cells, dtype=bool).any(axis=1)
    else:
        extra += jnp.sum(~inside, axis=1)
    outside = _same_group(owner, jnp.arange(videos), group_size) & (matches.video_weight > 0)
    own = jnp.arange(videos) == owner
    rival = jnp.where(own[..., None], inside[:, None], outside[..., None])
    logit = jnp.where(rival, matches.score / tau, NOTHING)
    negative = jax.nn.logsumexp(logit, axis=(1, 2))
    negative = jnp.logaddexp(negative, jnp.log(jnp.maximum(extra, 1e-30)))
    return _told_apart(matches, negative[:, None], margin, tau)


def _told_apart(matches: Matches, negative: Array, margin: float, tau: float):
    """-log(p / (p + n)) with log n (T, k) or (T, 1): (weighted sum, count); each cell a term."""
    query = jnp.arange(len(matches.owner))[:, None]
    positive = (matches.score[query, matches.owner[:, None], matches.best] - margin) / tau
    loss = jax.nn.softplus(negative - positive) * matches.weight[:, None]
    return jnp.sum(loss), jnp.sum(matches.weight) * matches.best.shape[1]


def _same_group(one: AnyArray, other: AnyArray, size: int) -> AnyArray:
    """Whether two videos, by their places in the batch, are in one group."""
    return one // size == other // size if size else one >= 0


def _overlap(moment: AnyArray) -> Array:
    """IoU of each two of T moments: (T, 2) -> (T, T)."""
    start, end = moment[:, 0], moment[:, 1]
    inter = jnp.minimum(end[:, None], end) - jnp.maximum(start[:, None], start)
    union = jnp.maximum(end[:, None], end) - jnp.minimum(start[:, None], start)
    return jnp.maximum(inter, 0) / jnp.maximum(union, 1e-9)
