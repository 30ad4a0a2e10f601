"""The domain loss of EVA (Eq. 10), and the same behind a gradient reversal."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from vmr_jax.layers.gradient_reversal import gradient_reversal
from vmr_jax.types import Array


def domain_loss(
    source_logits: Array, target_logits: Array, source_weight: Array, target_weight: Array
) -> Array:
    """Mean of -log(1 - G_d) over the source plus mean of -log G_d over the target: a scalar.

    All arguments are (B,); the logits are log-odds of "target".
    """
    source = _mean(jax.nn.softplus(source_logits), source_weight)
    return source + _mean(jax.nn.softplus(-target_logits), target_weight)


def adversarial_loss(
    classify: Callable[[Array], Array],
    source: Array,
    target: Array,
    source_weight: Array,
    target_weight: Array,
) -> Array:
    """The domain loss of points (B, D), which `classify` learns and the points confuse: a scalar.

    `classify` gives the log-odds of "target", (B,). Source: Ganin & Lempitsky, 2015.
    """
    return domain_loss(
        classify(gradient_reversal(source)),
        classify(gradient_reversal(target)),
        source_weight,
        target_weight,
    )


def _mean(values: Array, weight: Array) -> Array:
    """Weighted mean; 0 where all weights are 0."""
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1e-9)
