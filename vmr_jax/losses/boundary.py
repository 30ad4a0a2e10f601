"""Boundary loss of EVA's full branch (Eq. 6) and of MMCDA's localizer (MMCDA M1)."""

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, Int

from vmr_jax.layers.sequences import masked_log_softmax, masked_softmax
from vmr_jax.types import AnyArray, Array, Term

PROBABILITIES = ("softmax", "sigmoid_bce", "sigmoid_nll")


def boundary_loss(
    start: Float[AnyArray, "B N"],
    end: Float[AnyArray, "B N"],
    span: Int[AnyArray, "B 2"],
    mask: Bool[AnyArray, "B N"],
    weight: Float[AnyArray, "B"],
    probability: str,
) -> Term:
    """L_r = H(P_s, i_s) + H(P_e, i_e): (weighted sum, sum of weights).

    `start` and `end` are logits, `span` the inclusive indices, `mask` the valid clips.
    `probability` (EVA A7) is "softmax" (cross-entropy over the clips), "sigmoid_nll" (-log of the
    true clip's sigmoid) or "sigmoid_bce" (binary cross-entropy, mean over clips).
    """
    loss = _cross_entropy(start, span[:, 0], mask, probability)
    loss += _cross_entropy(end, span[:, 1], mask, probability)
    return jnp.sum(jnp.where(weight > 0, loss, 0) * weight), jnp.sum(weight)


def _cross_entropy(logits: AnyArray, index: AnyArray, mask: AnyArray, probability: str) -> Array:
    """Cross-entropy of one boundary: (B, N), (B,), (B, N) -> (B,)."""
    truth = jnp.arange(logits.shape[1]) == index[:, None]
    if probability == "softmax":
        return -jnp.sum(jnp.where(truth, masked_log_softmax(logits, mask), 0), axis=-1)
    if probability == "sigmoid_nll":
        return jnp.sum(jnp.where(truth, jax.nn.softplus(-logits), 0), axis=-1)
    terms = jax.nn.softplus(jnp.where(truth, -logits, logits))
    clips = jnp.maximum(mask.sum(axis=-1), 1)
    return jnp.sum(jnp.where(mask, terms, 0), axis=-1) / clips


def boundary_probability(
    logits: Float[AnyArray, "B N"], mask: Bool[AnyArray, "B N"], probability: str
) -> Float[Array, "B N"]:
    """P_s or P_e of each clip; 0 on padding."""
    if probability == "softmax":
        return masked_softmax(logits, mask)
    return jnp.where(mask, jax.nn.sigmoid(logits), 0)
