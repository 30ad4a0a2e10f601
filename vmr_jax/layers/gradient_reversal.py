"""The gradient reversal layer of adversarial training (Ganin & Lempitsky 2015; EVA, Eq. 9)."""

import jax

from vmr_jax.types import Array


@jax.custom_vjp
def gradient_reversal(x: Array) -> Array:
    """Return x unchanged; the gradient that flows back is multiplied by -1."""
    return x


def _forward(x: Array) -> tuple[Array, None]:
    """Keep nothing for the backward pass."""
    return x, None


def _backward(_: None, gradient: Array) -> tuple[Array]:
    """Turn the sign."""
    return (-gradient,)


gradient_reversal.defvjp(_forward, _backward)
