"""Contrastive losses between pairs."""

import jax
import jax.numpy as jnp

from vmr_jax.types import Array

_NOTHING = -1e9  # a logit that adds nothing to a sum of exponentials; its gradients are finite


def hinge_loss(
    positive: Array, negative: Array, margin: float, weight: Array
) -> tuple[Array, Array]:
    """max(0, margin - c+ + c-) of (B,) scores (VLANet, Eq. 14): (weighted sum, sum of weights)."""
    return jnp.sum(jnp.maximum(0, margin - positive + negative) * weight), jnp.sum(weight)


def info_nce(positive: Array, negative: Array, rival: Array, temperature: float) -> Array:
    """-log(e^(p/t) / (e^(p/t) + sum of e^(n/t) over rivals)) of each item (PREM, Eq. 7).

    Positives (B,), negatives (B, R) and which of them count (B, R) -> (B,); 0 without a rival.
    """
    logit = jnp.where(rival, negative / temperature, _NOTHING)
    return jax.nn.softplus(jax.nn.logsumexp(logit, axis=1) - positive / temperature)
