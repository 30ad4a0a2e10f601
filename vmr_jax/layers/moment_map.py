"""The 2D moment map of MMN, at its valid cells only (MMN A2).

Cell (i, j) of a map over N clips, i <= j, is the moment from the start of clip i to the end of
clip j. Only some cells are used. Which ones is static, so every array here has one row a valid
cell, in row-major order of the map: P is their number.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Float32, Int, Int32

from vmr_jax.layers.clip_spans import spans_to_seconds
from vmr_jax.layers.sequences import running_maxima
from vmr_jax.types import AnyArray, Array


class Cells(NamedTuple):
    """The P valid cells of a map over `clips` clips, in row-major order."""

    clips: int  # N
    row: Int32[np.ndarray, "P"]  # first clip
    column: Int32[np.ndarray, "P"]  # last clip, inclusive


def moment_cells(clips: int, pooling_counts: tuple[int, ...]) -> Cells:
    """List the valid cells: the diagonal, then pooling_counts[g] diagonals 2^g apart for each g.

    The diagonals of group g hold the cells whose first clip is a multiple of 2^g. Raises
    ValueError where the last diagonal is not the whole video (offset N - 1). Source: MMN A2;
    feat2d.py of the public code.
    """
    steps = [2**group for group, count in enumerate(pooling_counts) for _ in range(count)]
    if clips < 1 or any(count < 0 for count in pooling_counts) or sum(steps) != clips - 1:
        raise ValueError(
            f"pooling counts {list(pooling_counts)} reach offset {sum(steps)}, but the longest "
            f"moment of {clips} clips has offset {clips - 1}: the sum of counts[g] * 2**g must be "
            "N - 1."
        )
    valid = np.eye(clips, dtype=bool)
    for step, offset in zip(steps, np.cumsum(steps), strict=True):
        first = np.arange(0, clips - offset, step)
        valid[first, first + offset] = True
    row, column = np.nonzero(valid)
    return Cells(clips, row.astype(np.int32), column.astype(np.int32))


def map_cells(settings: Any) -> Cells:
    """The valid cells of a config's `map` block. Raises ValueError as `moment_cells` does."""
    return moment_cells(settings.clips, tuple(settings.pooling_counts))


def on_map(values: Float[AnyArray, "B P D"], cells: Cells) -> Float[Array, "B N N D"]:
    """Rows of the valid cells on the whole map, zero elsewhere."""
    index = np.full((cells.clips, cells.clips), len(cells.row))
    index[cells.row, cells.column] = np.arange(len(cells.row))
    return jnp.pad(values, ((0, 0), (0, 1), (0, 0)))[:, index]


def cell_seconds(
    cells: Cells, duration: Float[AnyArray, "B"]
) -> tuple[Float[Array, "B P"], Float[Array, "B P"]]:
    """Start and end of each cell in seconds."""
    return spans_to_seconds(cells.row, cells.column + 1, cells.clips, duration)


def cell_iou(
    cells: Cells, moment: Float[AnyArray, "B S 2"], duration: Float[AnyArray, "B"]
) -> Float[Array, "B S P"]:
    """IoU of each cell with S moments a video in seconds."""
    start, end = (time[:, None] for time in cell_seconds(cells, duration))
    first, last = moment[..., :1], moment[..., 1:]
    inter = jnp.minimum(end, last) - jnp.maximum(start, first)
    union = jnp.maximum(end, last) - jnp.minimum(start, first)
    return jnp.maximum(inter, 0) / union


def pool_clips(video: Float[AnyArray, "B N_pre D"], clips: int) -> Float[Array, "B {clips} D"]:
    """Mean of each N_pre / N steps, N = `clips`.

    Raises ValueError where N does not divide N_pre.
    """
    batch, steps, width = video.shape
    if steps % clips:
        raise ValueError(f"{steps} steps cannot be pooled to {clips} clips of equal length")
    return jnp.mean(video.reshape(batch, clips, steps // clips, width), axis=2)


def stretch_clips(
    video: Float[AnyArray, "B N D"], num_clips: Int[AnyArray, "B"], clips: int
) -> Float[Array, "B {clips} D"]:
    """Mean over each of `clips` equal parts of the real clips.

    A clip that lies in two parts counts in both by its share, so any number of clips is a map's N.
    """
    part = (num_clips / clips)[:, None, None]
    number, clip = jnp.arange(clips)[:, None], jnp.arange(video.shape[1])
    last = jnp.minimum(jnp.minimum((number + 1) * part, num_clips[:, None, None]), clip + 1)
    share = jnp.maximum(last - jnp.maximum(number * part, clip), 0) / jnp.maximum(part, 1e-9)
    return jnp.einsum(
        "bpn,bnd->bpd", share.astype(video.dtype), video, preferred_element_type=jnp.float32
    ).astype(video.dtype)


def span_max(video: Float[AnyArray, "B N D"], cells: Cells) -> Float[Array, "B P D"]:
    """The map: largest value of each channel over a cell's clips.

    A span of n clips is two spans of 2^floor(log2 n) clips that may overlap, so log2 N running
    maxima serve all cells.
    """
    length = cells.column - cells.row + 1
    level = np.int32(np.log2(length))
    table, offsets = running_maxima(video, int(length.max()))
    base = np.array(offsets)[level]
    last = cells.column + 1 - 2**level
    return jnp.maximum(table[:, base + cells.row], table[:, base + last])


def span_mean(video: Float[AnyArray, "B N D"], cells: Cells) -> Float32[Array, "B P D"]:
    """The mean of each channel over a cell's clips."""
    total = jnp.pad(jnp.cumsum(video.astype(jnp.float32), axis=1), ((0, 0), (1, 0), (0, 0)))
    length = (cells.column + 1 - cells.row)[:, None]
    return (total[:, cells.column + 1] - total[:, cells.row]) / length
