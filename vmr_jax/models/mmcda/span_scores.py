"""What all spans of a video are worth, from values of its clips."""

import jax.numpy as jnp

from vmr_jax.types import Array


def inside_outside_means(values: Array, mask: Array) -> tuple[Array, Array]:
    """Mean over the clips i ... j, and over the video's other clips, 0 where there are none.

    Values and valid clips, which come first, (B, N) -> two (B, N, N) float32, first clip by last
    clip; they mean something where i <= j and j is valid. From prefix sums: their rounding error
    is about N epsilon of the largest value, and a product with all N^3 memberships is not needed.
    """
    values = jnp.where(mask, values.astype(jnp.float32), 0)
    sums = jnp.pad(jnp.cumsum(values, axis=1), ((0, 0), (1, 0)))
    clip = jnp.arange(mask.shape[1])
    inside = sums[:, None, 1:] - sums[:, :-1, None]
    length = jnp.maximum(clip - clip[:, None] + 1, 1)
    others = mask.sum(axis=1)[:, None, None] - length
    outside = (sums[:, -1, None, None] - inside) / jnp.maximum(others, 1)
    return inside / length, jnp.where(others > 0, outside, 0)
