"""What each layer of MMN's proposal convolutions must compute: static lists of positions.

The first convolution pads the N x N map so far that L convolutions without padding shrink it
back to N. Few positions of these maps matter. A position with no valid cell under any kernel up
to it holds the layer's bias: it is *reached* by nothing. In training every reached position
counts, because the batch statistics cover the whole map; at inference only those that can still
reach a valid cell. Counted as kernel rows (a position and one row of its k taps, left out where
none of the k is reached) this is 49 / 52 / 50 % of the dense form's work in training and
43 / 42 / 42 % at inference for Charades-STA / ActivityNet Captions / TACoS.
"""

import functools
from typing import NamedTuple

import numpy as np

from vmr_jax.layers.moment_map import moment_cells


class KernelRow(NamedTuple):
    """One row of a layer's kernel: the n positions that it serves, and what its taps read.

    An index one past the last position stands for zeros.
    """

    served: np.ndarray  # (n,) int32 positions with something under this kernel row
    taps: np.ndarray  # (n, k) int32 positions that are read
    place: np.ndarray  # row of `served`, or n, for all positions of the layer


class LayerReach(NamedTuple):
    """A convolution from the reached positions of one map to those of the next."""

    size: int  # side of the whole next map, reached or not
    weight: np.ndarray  # (positions,) float32, 1 / valid cells under the kernel
    forward: tuple[KernelRow, ...]  # k: the next map's positions read the map's
    backward: tuple[KernelRow, ...]  # k: the map's positions read those of the next that read them


class Reach(NamedTuple):
    """All layers, and where the valid cells lie among the last layer's positions."""

    layers: tuple[LayerReach, ...]
    valid: np.ndarray  # (P,) int32


@functools.cache
def map_reach(
    clips: int, pooling_counts: tuple[int, ...], kernel: int, layers: int, train: bool
) -> Reach:
    """Positions in row-major order for each of `layers` k x k convolutions (spec A2).

    Raises ValueError for counts that do not fit the clips, and for a padding (k - 1) L / 2 that
    is not whole.
    """
    weights = map_weights(clips, pooling_counts, kernel, layers)
    cells = moment_cells(clips, pooling_counts)
    valid = np.zeros((clips, clips), bool)
    valid[cells.row, cells.column] = True
    needed = [np.pad(valid, (kernel - 1) * layers // 2)] + [weight > 0 for weight in weights]
    if not train:
        needed[-1] = valid
        for layer in range(layers - 1, 0, -1):
            wanted = np.pad(needed[layer + 1], kernel - 1)
            needed[layer] = needed[layer] & (_window_sum(wanted, kernel) > 0)
    steps = []
    for before, after, weight in zip(needed[:-1], needed[1:], weights, strict=True):
        forward = _kernel_rows(after, before, kernel)
        backward = _kernel_rows(before, np.pad(after, kernel - 1), kernel, turned=True)
        steps.append(LayerReach(len(after), weight[after], forward, backward))
    return Reach(tuple(steps), np.flatnonzero(valid[needed[-1]]).astype(np.int32))


@functools.cache
def map_weights(
    clips: int, pooling_counts: tuple[int, ...], kernel: int, layers: int
) -> tuple[np.ndarray, ...]:
    """w of each layer on its whole map: 1 / (valid cells under the kernel), 0 where none.

    After a layer the cells with w > 0 are the valid ones. Raises ValueError as map_reach.
    """
    cells = moment_cells(clips, pooling_counts)
    if kernel < 1 or layers < 1 or (kernel - 1) * layers % 2:
        raise ValueError(
            f"{layers} layers of {kernel} x {kernel} kernels need a padding of "
            f"{(kernel - 1) * layers / 2:g}: give an odd kernel and at least one layer."
        )
    valid = np.zeros((clips, clips), bool)
    valid[cells.row, cells.column] = True
    valid = np.pad(valid, (kernel - 1) * layers // 2)
    weights = []
    for _ in range(layers):
        count = _window_sum(valid, kernel)
        valid = count > 0
        weights.append((valid / np.maximum(count, 1)).astype(np.float32))
    return tuple(weights)


def _window_sum(mask: np.ndarray, kernel: int) -> np.ndarray:
    """Number of true cells under each kernel that lies within the mask."""
    windows = np.lib.stride_tricks.sliding_window_view(mask, (kernel, kernel))
    return windows.sum(axis=(2, 3))


def _kernel_rows(
    after: np.ndarray, before: np.ndarray, kernel: int, turned: bool = False
) -> tuple[KernelRow, ...]:
    """Tables of a convolution without padding from the true cells of `before` to `after`'s.

    `turned` is for a kernel turned by half a turn: its tap (a, b) reads at (k - 1 - a, k - 1 - b).
    """
    number = np.where(before, np.cumsum(before).reshape(before.shape) - 1, before.sum())
    windows = np.lib.stride_tricks.sliding_window_view(number.astype(np.int32), (kernel, kernel))
    taps = windows[after]  # (positions, k, k)
    if turned:
        taps = taps[:, ::-1, ::-1]
    rows = []
    for row in range(kernel):
        used = (taps[:, row] < before.sum()).any(axis=1)
        place = np.where(used, np.cumsum(used) - 1, used.sum()).astype(np.int32)
        rows.append(KernelRow(np.flatnonzero(used).astype(np.int32), taps[used, row], place))
    return tuple(rows)
