"""Maxima and means over the valid rows of a padded array."""

import jax
import jax.numpy as jnp

from vmr_jax.types import Array


def masked_max(x: Array, mask: Array) -> Array:
    """Largest value of each feature over the valid rows: (B, L, D), (B, L) -> (B, D).

    Zero where no row is valid. Max-pooling of EVA, Eq. 3 and 9.
    """
    lowest = jnp.asarray(-1e9, x.dtype)
    highest = jnp.max(jnp.where(mask[..., None], x, lowest), axis=-2)
    return jnp.where(mask.any(axis=-1)[..., None], highest, 0)


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of each feature over the valid rows: (B, L, D), (B, L) -> (B, D) float32.

    Zero where no row is valid.
    """
    weight = mask.astype(jnp.float32)
    total = jnp.einsum("...ld,...l->...d", x.astype(jnp.float32), weight)
    return total / jnp.maximum(weight.sum(axis=-1), 1)[..., None]


def top_mean(x: Array, mask: Array, count: Array | int, most: int) -> Array:
    """Mean of the `count` largest valid values, at most `most`: (..., N), (..., N) -> (...).

    `count` (...) and the mask may broadcast. All values where there are fewer, 0 where none.
    """
    best = jax.lax.top_k(jnp.where(mask, x, -1e9), min(most, x.shape[-1]))[0]
    found = jnp.minimum(count, mask.sum(axis=-1))
    kept = jnp.arange(best.shape[-1]) < found[..., None]
    return jnp.sum(best, axis=-1, where=kept) / jnp.maximum(kept.sum(axis=-1), 1)


def running_maxima(x: Array, longest: int) -> tuple[Array, list[int]]:
    """Largest value of each feature over all windows of 1, 2, 4, ... rows, up to `longest` rows.

    (B, L, D) -> (B, R, D), and for each length 2^l the row at which its windows begin; the window
    that starts at row i of x is the i-th of them.
    """
    levels, offsets = [x], [0]
    while 2 ** len(levels) <= longest:
        half = 2 ** (len(levels) - 1)
        offsets.append(offsets[-1] + levels[-1].shape[1])
        levels.append(jnp.maximum(levels[-1][:, :-half], levels[-1][:, half:]))
    return jnp.concatenate(levels, axis=1), offsets


def range_max(x: Array, first: Array, last: Array, longest: int) -> Array:
    """Largest value of each feature over rows first ... last: (B, L, D), (B, K) twice -> (B, K, D).

    0 <= first <= last < L, and no range has more than `longest` rows. A range of n rows is two
    windows of 2^floor(log2 n) rows that may overlap, so memory does not grow with n.
    """
    table, offsets = running_maxima(x, longest)
    level = 31 - jax.lax.clz(last - first + 1)
    base = jnp.asarray(offsets)[level]
    left, right = (
        jnp.take_along_axis(table, (base + row)[..., None], axis=1)
        for row in (first, last + 1 - 2**level)
    )
    return jnp.maximum(left, right)
