"""VDI's two losses, which teach the text encoder what frames show and how it moves.

T queries, each about one of B videos; `weight` is 0 on queries that do not count. Source: VDI,
Eq. 2 and 5.
"""

import jax.numpy as jnp

from vmr_jax.layers.sequences import unit_rows
from vmr_jax.types import Array

REDUCTIONS = ("mean", "sum")
SAME_VIDEO = ("exclude", "keep")


def visual_context_loss(
    query: Array, context: Array, weight: Array, reduction: str = "mean"
) -> tuple[Array, Array]:
    """L^vc, |query - context|^2 of (T, D) and weights (T,): (weighted sum, count).

    The squares of the D channels are averaged, or with `reduction` "sum" added (VDI D5).
    """
    square = jnp.square(query.astype(jnp.float32) - context.astype(jnp.float32))
    loss = square.mean(axis=-1) if reduction == "mean" else square.sum(axis=-1)
    return jnp.sum(loss * weight), jnp.sum(weight)


def spatial_dynamic_loss(
    video: Array, query: Array, owner: Array, weight: Array, same_video: str = "exclude"
) -> tuple[Array, Array]:
    """L^sd, (cos(video_a, video_b) - cos(query_a, query_b))^2 of each two queries: (sum, count).

    `video` (B, D) are the videos' dynamics, `query` (T, D) the queries', `owner` (T,) the queries'
    videos. A query with itself is a pair. Two queries of one video are one only where `same_video`
    is "keep" (VDI D18).
    """
    of_videos = _cosines(video)[owner[:, None], owner]
    pair = weight[:, None] * weight
    if same_video == "exclude":
        pair *= (owner[:, None] != owner) | jnp.eye(len(owner), dtype=bool)
    return jnp.sum(pair * jnp.square(of_videos - _cosines(query))), jnp.sum(pair)


def _cosines(rows: Array) -> Array:
    """Cosine of each two rows: (R, D) -> (R, R) float32."""
    unit = unit_rows(rows)
    return unit @ unit.T
