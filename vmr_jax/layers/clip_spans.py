"""Which clips a moment covers."""

import jax.numpy as jnp

from vmr_jax.types import Array

END_LABELS = ("ceil_minus_1", "ceil")


def seconds_to_clips(
    moment: Array, num_clips: Array, clip_seconds: float, end_label: str = "ceil_minus_1"
) -> Array:
    """First and last clip of moments: seconds (B, 2), clips (B,) -> (B, 2) int32, inclusive.

    floor(start / clip_seconds) and ceil(end / clip_seconds) - 1; "ceil" is one clip later. Both
    are cut to the video's clips, and the last is at least the first. Source: PREM P10.
    """
    final = jnp.maximum(num_clips - 1, 0)
    first = jnp.clip(jnp.floor(moment[:, 0] / clip_seconds).astype(jnp.int32), 0, final)
    last = jnp.ceil(moment[:, 1] / clip_seconds).astype(jnp.int32) - (end_label == "ceil_minus_1")
    return jnp.stack([first, jnp.clip(last, first, final)], axis=-1)


def split_clips(span: Array, mask: Array) -> tuple[Array, Array]:
    """The valid clips inside a moment, and those outside: (B, 2) inclusive, (B, N) -> two (B, N).

    A span that is hidden, -1, has no clips.
    """
    clip = jnp.arange(mask.shape[1])
    inside = mask & (clip >= span[:, :1]) & (clip <= span[:, 1:])
    return inside, mask & ~inside
