"""Domain-adversarial learning: a classifier of domains, the reversal of its gradient, the losses.

Sources: Ganin & Lempitsky, 2015; EVA, Eq. 9 and 10; MMCDA M3.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Float, Float32

from vmr_jax.types import AnyArray, Array


class DomainClassifier(nn.Module):
    """FC_1(act(FC_2(J))); class 1 is the target.

    `out` is "softmax2" (two logits) or "sigmoid" (one), `act` is "relu" or "none" (EVA A9, A10).
    """

    dim: int
    out: str = "softmax2"
    act: str = "relu"
    kernel_init: Callable = nn.initializers.xavier_uniform()
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, joint: Float[AnyArray, "B D"]) -> Float32[Array, "B"]:
        """Log-odds of "target", so that G_d = sigmoid."""
        hidden = nn.Dense(self.dim, kernel_init=self.kernel_init, dtype=self.dtype, name="fc_2")(
            joint
        )
        if self.act == "relu":
            hidden = jax.nn.relu(hidden)
        classes = 2 if self.out == "softmax2" else 1
        logits = nn.Dense(classes, kernel_init=self.kernel_init, dtype=self.dtype, name="fc_1")(
            hidden
        )
        logits = logits.astype(jnp.float32)
        return logits[:, 1] - logits[:, 0] if classes == 2 else logits[:, 0]


@jax.custom_vjp
def gradient_reversal(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """Return x unchanged; the gradient that flows back is multiplied by -1."""
    return x


def _forward(x: Array) -> tuple[Array, None]:
    """Keep nothing for the backward pass."""
    return x, None


def _backward(_: None, gradient: Array) -> tuple[Array]:
    """Turn the sign."""
    return (-gradient,)


gradient_reversal.defvjp(_forward, _backward)


def domain_loss(
    source_logits: Float[AnyArray, "n"],
    target_logits: Float[AnyArray, "m"],
    source_weight: Float[AnyArray, "n"],
    target_weight: Float[AnyArray, "m"],
) -> Float[Array, ""]:
    """Mean of -log(1 - G_d) over the source plus mean of -log G_d over the target.

    The logits are log-odds of "target".
    """
    source = _mean(jax.nn.softplus(source_logits), source_weight)
    return source + _mean(jax.nn.softplus(-target_logits), target_weight)


def adversarial_loss(
    classify: Callable[[Array], Array],
    source: Float[AnyArray, "n D"],
    target: Float[AnyArray, "m D"],
    source_weight: Float[AnyArray, "n"],
    target_weight: Float[AnyArray, "m"],
) -> Float[Array, ""]:
    """The domain loss of points, which `classify` learns and the points confuse.

    `classify` gives the log-odds of "target" of each point. Source: Ganin & Lempitsky, 2015.
    """
    return domain_loss(
        classify(gradient_reversal(source)),
        classify(gradient_reversal(target)),
        source_weight,
        target_weight,
    )


def _mean(values: Array, weight: AnyArray) -> Array:
    """Weighted mean; 0 where all weights are 0."""
    return jnp.sum(values * weight) / jnp.maximum(jnp.sum(weight), 1e-9)
