"""Contrastive losses between pairs."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Shaped

from vmr_jax.types import AnyArray, Array, Term

NOTHING = -1e9  # a logit that adds nothing to a sum of exponentials; its gradients are finite


def hinge_loss(
    positive: Float[AnyArray, "*#items"],
    negative: Float[AnyArray, "*#items"],
    margin: float,
    weight: Shaped[AnyArray, "*items"],
) -> Term:
    """max(0, margin - c+ + c-) of scores (VLANet, Eq. 14): (weighted sum, sum of weights)."""
    return jnp.sum(jnp.maximum(0, margin - positive + negative) * weight), jnp.sum(weight)


def info_nce(
    positive: Float[AnyArray, "B"],
    negative: Float[AnyArray, "B R"],
    rival: Bool[AnyArray, "B R"],
    temperature: float,
) -> Float[Array, "B"]:
    """-log(e^(p/t) / (e^(p/t) + sum of e^(n/t) over rivals)) of each item (PREM, Eq. 7).

    `rival` tells which negatives count; 0 without one.
    """
    logit = jnp.where(rival, negative / temperature, NOTHING)
    return jax.nn.softplus(jax.nn.logsumexp(logit, axis=1) - positive / temperature)


def symmetric_info_nce(
    score: Float[AnyArray, "B B"],
    rival: Bool[AnyArray, "B B"],
    weight: Float[AnyArray, "B"],
    temperature: float,
) -> Term:
    """Mean of InfoNCE over a batch's videos and over its queries: (weighted sum, sum of weights).

    Scores of videos by queries, whose diagonal are the pairs; `rival`, symmetric, tells which of
    the others count.
    """
    own = jnp.diagonal(score)
    each = [info_nce(own, other, rival, temperature) for other in (score, score.T)]
    return jnp.sum((each[0] + each[1]) * weight) / 2, jnp.sum(weight)


def batch_hinge_loss(
    score: Float[AnyArray, "B B"],
    rival: Bool[AnyArray, "B B"],
    margin: float,
    hardest: bool = False,
) -> Term:
    """Hinge of each pair against other queries, and against other videos: (sum, items with some).

    Arguments as those of symmetric_info_nce. Each of the two is the mean over the rivals, or with
    `hardest` the largest.
    """
    own, some = jnp.diagonal(score), jnp.any(rival, axis=1)
    total = 0.0
    for other in (score, score.T):
        if hardest:
            worst = jnp.max(jnp.where(rival, other, NOTHING), axis=1)
            total += hinge_loss(own, worst, margin, some)[0]
        else:
            share = rival / jnp.maximum(rival.sum(axis=1, keepdims=True), 1)
            total += hinge_loss(own[:, None], other, margin, share)[0]
    return total, jnp.sum(some)
