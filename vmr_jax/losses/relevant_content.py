"""The loss that tells segments of a moment from others: PREM's relevant-content head, MMCDA."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float

from vmr_jax.types import AnyArray, Term

REDUCTIONS = ("all", "balanced")


def relevant_content_loss(
    positive: Float[AnyArray, "B P"],
    is_positive: Bool[AnyArray, "B P"],
    negative: Float[AnyArray, "B Q"],
    is_negative: Bool[AnyArray, "B Q"],
    weight: Float[AnyArray, "B"],
    reduction: str = "all",
) -> Term:
    """L^c: binary cross-entropy of the segments of B items: (weighted sum, sum of weights).

    Logits, and which of them are segments. An item's loss is the mean
    over all its segments, or with "balanced" the mean of the means of its positives and of its
    negatives (PREM P14). What an item lacks does not count. Source: PREM,
    section 3.4; also MMCDA M1 and MMCDA M7.
    """
    sums = [
        jnp.sum(jnp.where(valid, jax.nn.softplus(sign * logit), 0), axis=1)
        for sign, logit, valid in ((-1, positive, is_positive), (1, negative, is_negative))
    ]
    counts = [valid.sum(axis=1) for valid in (is_positive, is_negative)]
    if reduction == "balanced":
        sums = [total / jnp.maximum(count, 1) for total, count in zip(sums, counts, strict=True)]
        counts = [jnp.minimum(count, 1) for count in counts]
    loss = sum(sums) / jnp.maximum(sum(counts), 1)
    return jnp.sum(loss * weight), jnp.sum(weight)
