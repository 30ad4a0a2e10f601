"""From scored windows, spans and map cells to ranked moments in seconds, with NMS.

To be called inside a system's `predict`, which is compiled as a whole.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Float, Int, Num

from vmr_jax.layers.clip_spans import spans_to_seconds
from vmr_jax.types import AnyArray, Array, Config, Moments


def rank_moments(
    start: Num[AnyArray, "*#B P"],
    end: Num[AnyArray, "*#B P"],
    score: Float[AnyArray, "B P"],
    num_clips: Int[AnyArray, "B"] | int,
    duration: Float[AnyArray, "B"],
    settings: Config,
) -> Moments:
    """The best K moments of B videos after NMS.

    Half-open spans of clips, (P,) where all videos have the same; a score of -inf is padding. A
    video of `duration` seconds has `num_clips` equal clips, on a moment map the map's number.
    `settings` is a config's `eval`: top_k (K), nms, clip_to_duration.
    """
    start, end = spans_to_seconds(start, end, num_clips, duration)
    if settings.clip_to_duration:
        end = jnp.minimum(end, duration[:, None])
    suppress = functools.partial(nms, threshold=settings.nms, k=settings.top_k)
    return Moments(*jax.vmap(suppress)(start, end, score))


def nms(
    start: Float[AnyArray, "P"],
    end: Float[AnyArray, "P"],
    score: Float[AnyArray, "P"],
    threshold: float | Float[Array, ""],
    k: int,
) -> tuple[Float[Array, "{k}"], Float[Array, "{k}"], Float[Array, "{k}"]]:
    """Keep the best candidate, remove those that overlap it, repeat until k are kept.

    Times are seconds; a candidate of score -inf is padding and is never kept. A candidate is
    removed when its IoU with a kept one is above `threshold`, in [0, 1]: an equal IoU survives, and
    1.0 only ranks. Equal scores keep their order; NaN scores come after all others, in their order,
    and stay NaN. Works under jit and vmap with a static k.

    Returns start, end, score, best first, padded with 0, 0, -inf.
    Source: docs/metrics.md, NMS.
    """
    padding = score.shape[0]  # the row after the last candidate, picked when none is left
    order = jnp.argsort(-score, stable=True)
    start = jnp.append(start[order], 0.0)
    end = jnp.append(end[order], 0.0)
    score = jnp.append(score[order], -jnp.inf)

    def keep_best(left: Array, _: None) -> tuple[Array, Array]:
        """Pick the first candidate that is left, then remove it and what overlaps it."""
        best = jnp.argmax(left)
        inter = jnp.minimum(end, end[best]) - jnp.maximum(start, start[best])
        union = jnp.maximum(end, end[best]) - jnp.minimum(start, start[best])
        iou = jnp.where(inter > 0, inter / union, 0.0)
        left = left & ~(iou > threshold)
        return left.at[best].set(False).at[padding].set(True), best

    left = (score != -jnp.inf).at[padding].set(True)
    _, kept = jax.lax.scan(keep_best, left, length=k)
    return start[kept], end[kept], score[kept]
