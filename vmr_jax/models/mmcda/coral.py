"""Correlation alignment of two weighted samples (Deep CORAL; Sun & Saenko, 2016)."""

import jax.numpy as jnp

from vmr_jax.types import Array


def coral(x: Array, y: Array, x_weight: Array, y_weight: Array) -> Array:
    """|C_x - C_y|^2 / (4 D^2) of x (n, D) and y (m, D), C the sample covariance: a scalar.

    Points of weight 0 in `x_weight` (n,), `y_weight` (m,) count nowhere. 0 where a sample is
    empty. Source: Deep CORAL, Eq. 1 to 3.
    """
    difference = _covariance(x, x_weight) - _covariance(y, y_weight)
    distance = jnp.sum(jnp.square(difference)) / (4 * x.shape[1] ** 2)
    return jnp.where((jnp.sum(x_weight) > 0) & (jnp.sum(y_weight) > 0), distance, 0)


def _covariance(points: Array, weight: Array) -> Array:
    """(n, D), (n,) -> (D, D); of a single point it is 0."""
    total = jnp.sum(weight)
    mean = weight @ points / jnp.maximum(total, 1e-9)
    centred = points - mean
    product = jnp.einsum("n,nd,ne->de", weight, centred, centred)
    return product / jnp.maximum(total - 1, 1)
