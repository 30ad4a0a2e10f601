"""Maximum mean discrepancy between two weighted samples (EVA, Eq. 7; EVA A13, A14).

Everything is computed tile by tile: a tile is `TILE` rows of the kernel matrix, so the n x n
matrix of a large sample is never in memory. Its backward pass recomputes the tiles.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Bool, Float, PRNGKeyArray

from vmr_jax.layers.sequences import masked_max, masked_mean
from vmr_jax.types import AnyArray, Array

SAMPLES = ("mean", "max", "elements")
KERNELS = ("median_multi", "median_single", "fixed")
TILE = 256
_SCALES = (0.25, 0.5, 1.0, 2.0, 4.0)
_BITS = 4  # of a float32's 31 that one pass of the median search settles


class Sample(NamedTuple):
    """Points of one domain or modality; those of weight 0 are padding."""

    points: Float[AnyArray, "n D"]
    weight: Float[AnyArray, "n"]


def make_sample(
    settings: Any,
    rows: Float[AnyArray, "B L D"],
    mask: Bool[AnyArray, "B L"],
    weight: Float[AnyArray, "B"],
    key: PRNGKeyArray,
) -> Sample:
    """What an MMD compares of B items of L rows, by `settings.samples` (EVA A13).

    "mean" and "max" pool the valid rows of each item, "elements" draws `settings.elements` of all
    valid rows with `key`.
    """
    if settings.samples == "mean":
        return Sample(masked_mean(rows, mask), weight)
    if settings.samples == "max":
        return Sample(masked_max(rows, mask).astype(jnp.float32), weight)
    elements = jnp.asarray(rows, jnp.float32).reshape(-1, rows.shape[-1])
    element_weight = jnp.reshape(mask * weight[:, None], -1)
    return Sample(*subsample(key, elements, element_weight, settings.elements))


def sample_mmd(settings: Any, x: Sample, y: Sample) -> Float[Array, ""]:
    """Squared MMD of two samples with the kernel of `settings`, a config's `mmd`."""
    return mmd(x.points, y.points, x.weight, y.weight, settings.kernel, settings.gamma)


def mmd(
    x: Float[AnyArray, "n D"],
    y: Float[AnyArray, "m D"],
    x_weight: Float[AnyArray, "n"],
    y_weight: Float[AnyArray, "m"],
    kernel: str = "median_multi",
    gamma: float = 1.0,
) -> Float[Array, ""]:
    """Squared MMD of x and y, the biased V-statistic, in float32.

    Each mean is weighted by `x_weight` and `y_weight`; points of weight 0 count nowhere. 0 where a
    sample is empty. `kernel` "fixed" is exp(-gamma |a - b|^2); with "median_*" s is the median of
    the squared distances between different points of both samples, without a gradient, at least
    1e-6: "median_single" is exp(-|a - b|^2 / s), "median_multi" the mean of
    exp(-|a - b|^2 / (c s)) over c = 1/4, 1/2, 1, 2, 4.
    """
    x_total, y_total = jnp.sum(x_weight), jnp.sum(y_weight)
    points = jnp.concatenate([x, y]).astype(jnp.float32)
    signed = jnp.concatenate(
        [x_weight / jnp.maximum(x_total, 1e-9), -y_weight / jnp.maximum(y_total, 1e-9)]
    )
    if kernel == "fixed":
        rates = (gamma,)
    else:
        fixed = jax.lax.stop_gradient(points)
        median = jnp.maximum(median_squared_distance(fixed, signed != 0), 1e-6)
        scales = _SCALES if kernel == "median_multi" else (1.0,)
        rates = tuple(1 / (scale * median) for scale in scales)

    @jax.checkpoint
    def tile(rows: Array, row_weight: Array) -> Array:
        distance = _squared_distance(rows, points)
        values = sum(jnp.exp(-rate * distance) for rate in rates) / len(rates)
        return row_weight @ (values @ signed)

    total = _sum_over_tiles(tile, points, signed)
    return jnp.where((x_total > 0) & (y_total > 0), total, 0)


def median_squared_distance(
    points: Float[AnyArray, "n D"], valid: Bool[AnyArray, "n"]
) -> Float[Array, ""]:
    """Median of |a - b|^2 over pairs of different valid points.

    Exact, without a sort: non-negative floats order like their bits, so the bits of both middle
    values are settled from the top, `_BITS` at a time, by counting the distances below each
    candidate. 0 where there are fewer than two valid points.
    """
    count = jnp.sum(valid)
    pairs = count * (count - 1)  # each pair twice
    ranks = jnp.stack([(pairs - 1) // 2, pairs // 2])
    number = jnp.arange(len(points))
    digits = jnp.arange(1, 2**_BITS, dtype=jnp.uint32)

    def settle(step: Array, low: Array) -> Array:
        shift = (32 - _BITS * (step + 1)).astype(jnp.uint32)
        candidates = low + (digits << shift)[:, None]  # (digits, 2)

        def tile(rows: Array, row_valid: Array, row_number: Array) -> Array:
            bits = jax.lax.bitcast_convert_type(_squared_distance(rows, points), jnp.uint32)
            keep = row_valid[:, None] & valid & (row_number[:, None] != number)
            # One digit at a time: a comparison with all at once would be kept in memory.
            return jax.lax.map(
                lambda both: jnp.sum((bits < both[:, None, None]) & keep, axis=(1, 2)), candidates
            )

        below = _sum_over_tiles(tile, points, valid, number)
        digit = jnp.sum(below <= ranks, axis=0).astype(jnp.uint32)
        return low + (digit << shift)

    low = jax.lax.fori_loop(0, 32 // _BITS, settle, jnp.zeros(2, jnp.uint32))
    middle = jax.lax.bitcast_convert_type(low, jnp.float32)
    return jnp.where(count > 1, jnp.mean(middle), 0)


def subsample(
    key: PRNGKeyArray, rows: Float[Array, "n D"], weight: Float[Array, "n"], size: int
) -> tuple[Float[Array, "m D"], Float[Array, "m"]]:
    """Draw up to `size` of the rows with a positive weight, without repeats.

    Returns m rows, the smaller of `size` and n, and their weights; those beyond have weight 0.
    """
    draw = jnp.where(weight > 0, jax.random.uniform(key, weight.shape), -1)
    _, index = jax.lax.top_k(draw, min(size, len(weight)))
    return rows[index], weight[index]


def _squared_distance(rows: AnyArray, points: AnyArray) -> Array:
    """|a - b|^2 >= 0: (r, D), (n, D) -> (r, n)."""
    inner = jnp.matmul(rows, points.T, precision=jax.lax.Precision.HIGHEST)
    norms = jnp.sum(rows**2, axis=-1)[:, None] + jnp.sum(points**2, axis=-1)
    distance = norms - 2 * inner
    return jnp.where(distance > 0, distance, 0)


def _sum_over_tiles(function, *arrays: AnyArray) -> Array:
    """Sum of function(a tile of each array's rows) over all tiles; padding rows are zero."""
    size = len(arrays[0])
    if size <= TILE:
        return function(*arrays)
    padding = -size % TILE

    def split(array: AnyArray) -> Array:
        padded = jnp.pad(array, ((0, padding),) + ((0, 0),) * (array.ndim - 1))
        return padded.reshape(-1, TILE, *array.shape[1:])

    tiles = [split(array) for array in arrays]
    first = jax.eval_shape(function, *(tile[0] for tile in tiles))
    start = jnp.zeros(first.shape, first.dtype)
    return jax.lax.scan(lambda total, tile: (total + function(*tile), None), start, tiles)[0]
