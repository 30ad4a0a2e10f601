"""Spans of clips: to and from seconds, the clips inside, windows over a video, means over windows.

Sliding windows: EVA, section 3.1 and EVA A18. Segment groups: VLANet, Eq. 2 and VLANet V1.
"""

from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int, Int32, Num

from vmr_jax.types import AnyArray, Array

END_LABELS = ("ceil_minus_1", "ceil")


def spans_to_seconds(
    start: Num[AnyArray, "*#B P"],
    end: Num[AnyArray, "*#B P"],
    num_clips: Int[AnyArray, "*#B"] | int,
    duration: Float[AnyArray, "B"],
) -> tuple[Float[Array, "B P"], Float[Array, "B P"]]:
    """Half-open clip indices -> seconds; a clip lasts duration / num_clips.

    Indices (P,), or one number of clips, are the same for all videos.
    """
    clip = (duration / jnp.maximum(num_clips, 1))[:, None]
    return jnp.multiply(start, clip), jnp.multiply(end, clip)


def seconds_to_clips(
    moment: Float[AnyArray, "B 2"],
    num_clips: Int[AnyArray, "B"],
    clip_seconds: float,
    end_label: str = "ceil_minus_1",
) -> Int32[Array, "B 2"]:
    """First and last clip, inclusive, of moments in seconds.

    floor(start / clip_seconds) and ceil(end / clip_seconds) - 1; "ceil" is one clip later. Both
    are cut to the video's clips, and the last is at least the first. Source: PREM P10.
    """
    final = jnp.maximum(num_clips - 1, 0)
    first = jnp.clip(jnp.floor(moment[:, 0] / clip_seconds).astype(jnp.int32), 0, final)
    last = jnp.ceil(moment[:, 1] / clip_seconds).astype(jnp.int32) - (end_label == "ceil_minus_1")
    return jnp.stack([first, jnp.clip(last, first, final)], axis=-1)


def split_clips(
    span: Int[AnyArray, "B 2"], mask: Bool[AnyArray, "B N"]
) -> tuple[Bool[Array, "B N"], Bool[Array, "B N"]]:
    """The valid clips inside a moment, and those outside.

    A span is inclusive; one that is hidden, -1, has no clips.
    """
    mask, clip = jnp.asarray(mask), jnp.arange(mask.shape[1])
    inside = mask & (clip >= span[:, :1]) & (clip <= span[:, 1:])
    return inside, mask & ~inside


class Grid(NamedTuple):
    """P windows over N padded clips; the same for every video, only their validity differs.

    The first slot is the smallest window at clip 0. It holds [0, num_clips) for a video that is
    shorter than the smallest window. A window of `tail` ends at the video's last clip.
    """

    start: Int32[np.ndarray, "P"]  # first clip; unused where tail or full
    window: Int32[np.ndarray, "P"]  # clips
    tail: Bool[np.ndarray, "P"]
    full: Bool[np.ndarray, "P"]  # the whole video
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
    if not windows or min(windows) < 1 or stride < 1 or any(w != int(w) for w in windows):
        raise ValueError(
            f"windows={tuple(windows)} and stride={stride} make no proposals: give at least one "
            "window, and whole sizes and a stride of at least 1 clip."
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


def proposal_spans(
    grid: Grid, num_clips: Int[AnyArray, "B"], xp: ModuleType = jnp
) -> tuple[Int[Any, "B P"], Int[Any, "B P"], Bool[Any, "B P"]]:
    """Start, end (half-open clips) and validity of each proposal.

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


class Groups(NamedTuple):
    """G segment groups of L windows over N padded clips; a group's windows start at one clip."""

    start: Int32[np.ndarray, "G"]  # first clip
    width: Int32[np.ndarray, "L"]  # clips, ascending
    cut: bool  # a window may reach over the video's last clip, where it is cut


def segment_groups(
    max_clips: int, widths: tuple[float, ...], stride: float, cut: bool = True
) -> Groups:
    """List the groups at clips 0, stride, 2 stride, ... (rounded half up) of `max_clips` clips.

    Groups that no video of `max_clips` clips can fill are left out. Raises ValueError for an empty
    list of widths and for widths or strides that are too small or, of widths, not whole.
    """
    if not widths or min(widths) < 1 or stride <= 0 or any(w != int(w) for w in widths):
        raise ValueError(
            f"widths={tuple(widths)} and stride={stride} make no proposals: give at least one "
            "width, widths of whole clips, at least 1, and a stride above 0."
        )
    width = np.array(sorted(set(widths)), np.int32)
    start = np.floor(np.arange(int(max_clips / stride) + 1) * stride + 0.5).astype(np.int32)
    needed = -(-width[0] // 2) if cut else width[0]
    fits = start + needed <= max_clips
    fits[0] = True
    return Groups(start[fits], width, cut)


def group_spans(
    groups: Groups, num_clips: Int[AnyArray, "B"], xp: ModuleType = jnp
) -> tuple[Int[Any, "B P"], Int[Any, "B P"], Bool[Any, "B P"]]:
    """Start, end (half-open clips) and validity of each of the P = G L windows.

    Window l of group g is at g L + l. With `cut` a window is valid where it holds at least half
    as many real clips as the smallest is wide, else where it lies inside the video. The smallest
    window of group 0 is valid in every video with a clip. Invalid windows are empty, [0, 0).
    """
    clips = num_clips[:, None]
    size = len(groups.start) * len(groups.width)
    start = np.repeat(groups.start, len(groups.width))
    end = start + np.tile(groups.width, len(groups.start))
    cut = xp.minimum(end, clips)
    valid = 2 * (cut - start) >= groups.width[0] if groups.cut else end <= clips
    valid = (valid | (np.arange(size) == 0)) & (clips > 0)
    return xp.where(valid, start, 0), xp.where(valid, cut, 0), valid


def pool_proposals(
    video: Float[AnyArray, "B N D"], start: Int[AnyArray, "B P"], end: Int[AnyArray, "B P"]
) -> Float[Array, "B P D"]:
    """Mean of the clips of each proposal, from start to end, half-open.

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
