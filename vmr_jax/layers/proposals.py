"""Sliding-window proposals over the clips of a video (EVA, section 3.1; spec eva.md 2.4)."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from vmr_jax.types import Array


class Grid(NamedTuple):
    """P windows over N padded clips; the same for every video, only their validity differs.

    The first slot is the smallest window at clip 0. It holds [0, num_clips) for a video that is
    shorter than the smallest window. A window of `tail` ends at the video's last clip.
    """

    start: np.ndarray  # (P,) int32 first clip; unused where tail or full
    window: np.ndarray  # (P,) int32 clips
    tail: np.ndarray  # (P,) bool
    full: np.ndarray  # (P,) bool, the whole video
    stride: int


def proposal_grid(
    max_clips: int,
    windows: tuple[int, ...],
    stride: int,
    add_full: bool = False,
    tail: bool = False,
) -> Grid:
    """List the windows of sizes `windows` at clips 0, stride, 2 stride, ... of `max_clips` clips.

    `tail` adds, for each size, a window that ends at the last clip; `add_full` the whole video.
    Raises ValueError for an empty list of windows and for sizes or strides below 1.
    """
    if not windows or min(windows) < 1 or stride < 1:
        raise ValueError(
            f"windows={tuple(windows)} and stride={stride} make no proposals: give at least one "
            "window, and sizes and a stride of at least 1 clip."
        )
    sizes = sorted(set(windows))
    slots = [(0, sizes[0], False, False)]
    slots += [
        (start, size, False, False)
        for size in sizes
        for start in range(0, max_clips - size + 1, stride)
        if (start, size) != (0, sizes[0])
    ]
    if tail:
        slots += [(0, size, True, False) for size in sizes if size <= max_clips]
    if add_full:
        slots.append((0, 0, False, True))
    start, window, is_tail, is_full = zip(*slots, strict=True)
    return Grid(
        start=np.array(start, np.int32),
        window=np.array(window, np.int32),
        tail=np.array(is_tail),
        full=np.array(is_full),
        stride=stride,
    )


def proposal_spans(grid: Grid, num_clips: Array, xp=jnp) -> tuple[Array, Array, Array]:
    """Start, end (half-open clips) and validity of each proposal: (B,) -> three (B, P).

    `xp` is jax.numpy, or numpy for work outside a compiled function. Invalid proposals are
    empty, [0, 0). A tail or full window that repeats a window of the grid is invalid.
    """
    clips = num_clips[:, None]
    start = xp.where(grid.tail, clips - grid.window, grid.start)
    end = xp.where(grid.full, clips, start + grid.window)
    valid = (start >= 0) & (end <= clips)
    valid &= ~grid.tail | (start % grid.stride != 0)
    sizes = np.unique(grid.window[~grid.full])
    repeated = (clips <= sizes[0]) | (clips == sizes).any(axis=-1, keepdims=True)
    valid &= ~(grid.full & repeated)
    short = (np.arange(len(grid.start)) == 0) & (clips < sizes[0])
    end = xp.where(short, clips, end)
    valid = (valid | short) & (clips > 0)
    return xp.where(valid, start, 0), xp.where(valid, end, 0), valid


def pool_proposals(video: Array, start: Array, end: Array) -> Array:
    """Mean of the clips of each proposal: (B, N, D), (B, P), (B, P) -> (B, P, D).

    One product with the 0/1 membership matrix (B, P, N), whose cost does not depend on the window
    lengths: on a CPU a quarter to a half of the time of prefix sums, whose backward pass scatters,
    and with half of their rounding error. An empty proposal is zero.
    """
    clip = jnp.arange(video.shape[1])
    member = (clip >= start[..., None]) & (clip < end[..., None])
    total = jnp.einsum(
        "bpn,bnd->bpd", member.astype(video.dtype), video, preferred_element_type=jnp.float32
    )
    return (total / jnp.maximum(end - start, 1)[..., None]).astype(video.dtype)


def spans_to_seconds(
    start: Array, end: Array, num_clips: Array, duration: Array
) -> tuple[Array, Array]:
    """Half-open clip indices (B, P) -> seconds (B, P); a clip lasts duration / num_clips."""
    clip = (duration / jnp.maximum(num_clips, 1))[:, None]
    return start * clip, end * clip
