"""What each layer of MMN's proposal convolutions must compute: static lists of positions.

The first convolution pads the N x N map so far that L convolutions without padding shrink it
back to N. Few positions of these maps matter. A position with no valid cell under any kernel up
to it is not *reached*: it holds the layer's bias. In training every reached position counts,
because the batch statistics cover the whole map; at inference only those that can still reach a
valid cell: 55 / 65 / 56 % and 49 / 50 / 46 % of the dense positions for Charades-STA,
ActivityNet Captions and TACoS. A row of the kernel serves still fewer, those with a reached
position under it, so that a layer's products are 49 / 54 / 51 % and 43 / 42 / 42 % of the dense.
"""

import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Int32

from vmr_jax.layers.moment_map import moment_cells


class KernelRows(NamedTuple):
    """For each of the k rows of a kernel: the n positions that it serves, and what it reads.

    n is that of the row with most. An index one past the last position stands for zeros.
    """

    served: Int32[np.ndarray, "k n"]  # positions with something under the kernel row
    taps: Int32[np.ndarray, "k n k"]  # positions that are read
    place: Int32[np.ndarray, "k positions"]  # index into `served`, n where not served


class LayerReach(NamedTuple):
    """A convolution from the reached positions of one map to those of the next."""

    size: int  # side of the whole next map, reached or not
    weight: Float32[np.ndarray, "positions"]  # 1 / valid cells under the kernel
    forward: KernelRows  # the next map's positions read the map's
    backward: KernelRows  # the map's positions read those of the next that read them


class Reach(NamedTuple):
    """All layers, and where the valid cells lie among the last layer's positions."""

    layers: tuple[LayerReach, ...]
    valid: Int32[np.ndarray, "P"]


@functools.cache
def map_reach(
    clips: int, pooling_counts: tuple[int, ...], kernel: int, layers: int, train: bool
) -> Reach:
    """Positions in row-major order for each of `layers` k x k convolutions (MMN A3).

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
) -> tuple[Float32[np.ndarray, "_ _"], ...]:
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
) -> KernelRows:
    """Tables of a convolution without padding from the true cells of `before` to `after`'s.

    `turned` is for a kernel turned by half a turn: its tap (a, b) reads at (k - 1 - a, k - 1 - b).
    """
    zero, positions = before.sum(), after.sum()
    number = np.where(before, np.cumsum(before).reshape(before.shape) - 1, zero)
    windows = np.lib.stride_tricks.sliding_window_view(number, (kernel, kernel))[after]
    taps = (windows[:, ::-1, ::-1] if turned else windows).swapaxes(0, 1)  # (k, positions, k)
    used = (taps < zero).any(axis=2)
    most = used.sum(axis=1).max()
    if most == positions:  # one n for all rows: nothing is saved, so that `place` is not needed
        used[:] = True
    served = np.zeros((kernel, most), np.int32)
    of_served = np.full((kernel, most, kernel), zero, np.int32)
    place = np.full((kernel, positions), most, np.int32)
    for row, positions_of_row in enumerate(used):
        (found,) = np.nonzero(positions_of_row)
        served[row, : len(found)] = found
        of_served[row, : len(found)] = taps[row, found]
        place[row, found] = np.arange(len(found))
    return KernelRows(served, of_served, place)
