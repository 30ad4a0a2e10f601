"""How alike a video's clips are, inside moments and on both sides of their edges.

Where a scene ends, its clips differ from the next ones, whatever a sentence asks for. No paper of
this library has these numbers; they are cosines of clips as they come in, after the normalisation
that a config names, and everything is float32. A side without clips gives 0.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Float32

from vmr_jax.layers.sequences import unit_rows
from vmr_jax.types import AnyArray, Array

PARTS = 6  # numbers of a moment
WIDTH = 32  # channels that a network makes of either
_EPSILON = 1e-6


def moment_similarities(
    video: Float[AnyArray, "B N F"], first: np.ndarray, end: np.ndarray, width: int
) -> Float32[Array, "B P 6"]:
    """Mean cosines of P moments, clips [first, end) of every video: static (P,) each.

    Inside; of the inside with the `width` clips before, and after; of the first `width` clips with
    those before; of the last ones with those after; of the first with the last.
    """
    steps = video.shape[1]
    rows = unit_rows(video, _EPSILON)
    cosine = jnp.einsum("bif,bjf->bij", rows, rows)
    total = jnp.pad(jnp.cumsum(jnp.cumsum(cosine, 1), 2), ((0, 0), (1, 0), (1, 0)))
    before, after = np.maximum(first - width, 0), np.minimum(end + width, steps)
    head, tail = np.minimum(first + width, end), np.maximum(end - width, first)
    inside = first, end
    pairs = (
        (inside, inside),
        (inside, (before, first)),
        (inside, (end, after)),
        ((first, head), (before, first)),
        ((tail, end), (end, after)),
        ((first, head), (tail, end)),
    )
    return jnp.stack([_block_mean(total, *one, *other) for one, other in pairs], axis=-1)


def _block_mean(
    total: Array, top: np.ndarray, bottom: np.ndarray, left: np.ndarray, right: np.ndarray
) -> Array:
    """Means over rows [top, bottom) and columns [left, right) of sums (B, N + 1, N + 1): (B, P)."""
    block = total[:, bottom, right] - total[:, top, right]
    block -= total[:, bottom, left] - total[:, top, left]
    area = (bottom - top) * (right - left)
    return jnp.where(area > 0, block / np.maximum(area, 1), 0)


def edge_changes(
    video: Float[AnyArray, "*batch N F"], mask: Bool[AnyArray, "*batch N"], widths: tuple[int, ...]
) -> Float32[Array, "*batch N E"]:
    """What changes at each clip's start and end, E = 2 `widths`; zero on padding.

    1 - the cosine of the sums of `width` unit clips before and after, for each width in turn. At a
    video's own start and end it is 1.
    """
    steps = video.shape[-2]
    rows = unit_rows(video, _EPSILON) * mask[..., None]
    room = [(0, 0)] * (video.ndim - 2)
    total = jnp.pad(jnp.cumsum(rows, axis=-2), (*room, (1, 0), (0, 0)))
    edge, found = np.arange(steps + 1), []
    for width in widths:
        before = total - total[..., np.maximum(edge - width, 0), :]
        after = total[..., np.minimum(edge + width, steps), :] - total
        same = jnp.sum(unit_rows(before, _EPSILON) * unit_rows(after, _EPSILON), axis=-1)
        found += [1 - same[..., :-1], 1 - same[..., 1:]]
    return jnp.stack(found, axis=-1) * mask[..., None]


class EdgeRows(nn.Module):
    """`edge_changes` as rows for the heads of boundaries; no widths, no rows."""

    widths: tuple[int, ...]
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(
        self, video: Float[AnyArray, "*batch N F"], mask: Bool[AnyArray, "*batch N"]
    ) -> Float[Array, "*batch N C"]:
        """Rows of WIDTH channels, zero on padding; of none where there are no widths."""
        if not self.widths:
            return jnp.zeros((*mask.shape, 0), self.dtype)
        changes = edge_changes(video, mask, self.widths).astype(self.dtype)
        return nn.relu(nn.Dense(WIDTH, dtype=self.dtype)(changes)) * mask[..., None]
