"""The boundary loss of PREM's localizer (PREM, Eq. 10)."""

from vmr_jax.losses.boundary import boundary_loss
from vmr_jax.types import Array


def shared_norm_loss(
    start: Array, end: Array, span: Array, mask: Array, weight: Array, shared: bool = True
) -> tuple[Array, Array]:
    """L^st + L^ed: the cross-entropies of both boundaries over the valid clips of all C videos.

    Logits and mask (B, C, N), inclusive clips of the moment in the first video (B, 2), weights
    (B,): (weighted sum, sum of weights). Without `shared` only the first video counts.
    Source: PREM P13, PREM P20.
    """
    if not shared:
        start, end, mask = start[:, :1], end[:, :1], mask[:, :1]
    start, end, mask = (x.reshape(len(x), -1) for x in (start, end, mask))
    return boundary_loss(start, end, span, mask, weight, "softmax")
