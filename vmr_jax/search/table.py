"""The clip vectors of a corpus, cut into blocks of one shape that the devices share."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from vmr_jax.training.mesh import along_batch, make_mesh
from vmr_jax.types import AnyArray, Array

DTYPES = ("float32", "float16", "bfloat16", "int8")
_BLOCK_ROWS = 32768  # clips of a block, about: what one dispatch searches
# Clips of a tile: on the CPU its products with 64 queries stay in a core's second-level cache.
_CPU_TILE_ROWS = 2048
_CPU_BLOCKS = 8  # that are searched at a time, at most: more cores wait for the memory


class Clips(NamedTuple):
    """The clips of some videos, one after the other, without padding.

    `vectors` has an array (R, D) for each of the J modalities, in memory or mapped from a file. An
    int8 vector stands for itself times its `scale`. `kept` is false on videos that are not to
    be found.
    """

    vectors: tuple[np.ndarray, ...]  # J x (R, D)
    num_clips: np.ndarray  # (V,) at least 1, R in all
    scale: tuple[np.ndarray, ...] = ()  # J x (R,) float32; empty unless int8
    kept: np.ndarray | None = None  # (V,) bool


class Block(NamedTuple):
    """Some tiles of every device: leading axes are cut evenly over the devices.

    A tile is `T` rows of `vectors` from `start` on. Its rows belong to at most `I` videos, which
    it holds whole.
    """

    vectors: tuple[AnyArray, ...]  # J x (devices * R, D)
    scale: tuple[AnyArray, ...]  # J x (devices * R,) float32, or ()
    tiles: AnyArray  # (devices,) int32, those that there are
    start: AnyArray  # (devices * tiles,) int32
    # (devices * tiles, T) int32 which video of the tile, ascending; -1 and I on rows of none
    owner: AnyArray
    row: AnyArray  # (devices * tiles, I) int32 row of the video in the corpus; -1 is padding


class Table(NamedTuple):
    """V videos for `exact.top_videos`."""

    blocks: tuple[Block, ...]
    videos: int  # V, those that are not to be found included
    mesh: Mesh


def make_table(parts: Iterable[Clips], mesh: Mesh | None = None, tile_rows: int = 0) -> Table:
    """Lay the clips of a corpus on the devices of `mesh` (default: all devices).

    The videos of all parts are numbered in order, from 0. On the CPU a part of at least a block
    stays where it is, so that one mapped from a file is read when it is searched; smaller ones
    are copied together. `tile_rows` is the least number of clips of a tile; 0: what suits the
    device.

    Raises:
        ValueError: no videos; parts of different width, type or number of modalities; a video
            without clips; counts that are not those of the vectors.
    """
    mesh = make_mesh() if mesh is None else mesh
    parts = _join_small(part for part in parts if len(part.num_clips))
    if not parts:
        raise ValueError("the corpus has no videos")
    longest = max(int(part.num_clips.max()) for part in parts)
    tile_rows = tile_rows or (_CPU_TILE_ROWS if _on_cpu(mesh) else _BLOCK_ROWS)
    tile_rows = max(tile_rows, 1 << (longest - 1).bit_length())
    cuts = [_cut_tiles(part.num_clips, tile_rows) for part in parts]
    most = max(int(np.diff(cut).max()) for cut in cuts)
    tiles = _tiles_a_block(max(len(cut) - 1 for cut in cuts), tile_rows, mesh)
    blocks, before = [], 0
    for part, cut in zip(parts, cuts, strict=True):
        shares = [
            _share(part, cut[first : first + tiles + 1], before, (tiles, tile_rows, most))
            for first in range(0, _round_up(len(cut) - 1, tiles * mesh.size), tiles)
        ]
        for first in range(0, len(shares), mesh.size):
            blocks.append(_place(shares[first : first + mesh.size], mesh))
        before += len(part.num_clips)
    return Table(tuple(blocks), before, mesh)


def concurrent_blocks(mesh: Mesh) -> int:
    """Blocks that are searched at a time: XLA uses one core of a CPU for a single query."""
    return min(os.cpu_count() or 1, _CPU_BLOCKS) if _on_cpu(mesh) and mesh.size == 1 else 1


def quantize(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (R, D) as int8 and a float32 scale (R,): the largest number of each becomes 127."""
    scale = np.abs(vectors).max(axis=1).astype(np.float32) / 127
    steps = vectors / np.where(scale > 0, scale, 1)[:, None]
    return np.rint(steps).astype(np.int8), scale


def _join_small(parts: Iterable[Clips]) -> list[Clips]:
    """The parts in order, checked; neighbours that are smaller than a block are copied into one."""
    joined, small = [], []
    for part in parts:
        _check(part, (joined or small or [part])[0])
        if len(part.vectors[0]) < _BLOCK_ROWS:
            small.append(part)
            continue
        joined += [_join(small), part] if small else [part]
        small = []
    return joined + [_join(small)] if small else joined


def _join(parts: Sequence[Clips]) -> Clips:
    if len(parts) == 1:
        return parts[0]
    columns = lambda field: zip(*(getattr(part, field) for part in parts), strict=True)  # noqa: E731
    return Clips(
        vectors=tuple(map(np.concatenate, columns("vectors"))),
        num_clips=np.concatenate([part.num_clips for part in parts]),
        scale=tuple(map(np.concatenate, columns("scale"))),
        kept=np.concatenate([_kept(part) for part in parts]),
    )


def _check(part: Clips, first: Clips) -> None:
    kinds, others = (
        [(array.shape[1], str(array.dtype)) for array in p.vectors] for p in (part, first)
    )
    if kinds != others or len(set(kinds)) > 1:
        raise ValueError(
            "all clips of a corpus must have the same modalities, width and type; there are "
            f"{others} and {kinds}"
        )
    if kinds[0][1] not in DTYPES:
        raise ValueError(f"clip vectors are of type {kinds[0][1]}; known: {', '.join(DTYPES)}")
    if (kinds[0][1] == "int8") != bool(part.scale):
        raise ValueError("int8 vectors need a scale a modality, and other types none")
    empty = np.flatnonzero(part.num_clips < 1)
    if len(empty):
        raise ValueError(f"video {empty[0]} of a part has no clips: leave it out of the corpus")
    rows = int(part.num_clips.sum())
    if any(len(array) != rows for array in (*part.vectors, *part.scale)):
        raise ValueError(
            f"the videos have {rows} clips, but there are vectors of "
            f"{[len(array) for array in (*part.vectors, *part.scale)]}"
        )


def _kept(part: Clips) -> np.ndarray:
    return np.ones(len(part.num_clips), bool) if part.kept is None else part.kept


def _on_cpu(mesh: Mesh) -> bool:
    return mesh.devices.flat[0].platform == "cpu"


def _round_up(number: int, step: int) -> int:
    return -(-number // step) * step


def _tiles_a_block(tiles: int, tile_rows: int, mesh: Mesh) -> int:
    """Tiles of a block and device, so that the blocks of `tiles` tiles are about equally full."""
    blocks = -(-tiles // (max(1, _BLOCK_ROWS // tile_rows) * mesh.size))
    blocks = _round_up(blocks, concurrent_blocks(mesh))
    return -(-tiles // (blocks * mesh.size))


def _cut_tiles(num_clips: np.ndarray, tile_rows: int) -> np.ndarray:
    """First video of each tile, and V: as many whole videos as fit into a tile."""
    ends = np.cumsum(num_clips)
    cuts, taken = [0], 0
    while cuts[-1] < len(num_clips):
        cuts.append(int(np.searchsorted(ends, taken + tile_rows, side="right")))
        taken = ends[cuts[-1] - 1]
    return np.array(cuts)


def _share(part: Clips, videos: np.ndarray, before: int, sizes: tuple[int, int, int]) -> Block:
    """One device's part of a block, NumPy arrays.

    `videos` are the cuts of its tiles, `before` is the row of the part's first video.
    """
    tiles, tile_rows, most = sizes
    ends = np.concatenate([[0], np.cumsum(part.num_clips)])
    kept = _kept(part)
    block = Block(
        *_rows(part, int(ends[videos[0]]) if len(videos) else 0, tiles * tile_rows),
        tiles=np.array([max(len(videos) - 1, 0)], np.int32),
        start=np.zeros(tiles, np.int32),
        owner=np.full((tiles, tile_rows), most, np.int32),
        row=np.full((tiles, most), -1, np.int32),
    )
    for tile, (begin, end) in enumerate(zip(videos[:-1], videos[1:], strict=True)):
        # A block at the end of the part begins before its first video, see _rows.
        first = ends[begin] - max(min(ends[videos[0]], ends[-1] - tiles * tile_rows), 0)
        block.start[tile] = min(first, (tiles - 1) * tile_rows)
        counts = part.num_clips[begin:end]
        at = first - block.start[tile]
        block.owner[tile, :at] = -1
        block.owner[tile, at : at + counts.sum()] = np.repeat(np.arange(end - begin), counts)
        block.row[tile, : end - begin] = np.where(
            kept[begin:end], before + np.arange(begin, end), -1
        )
    return block


def _rows(part: Clips, first: int, rows: int) -> tuple[tuple[np.ndarray, ...], ...]:
    """`rows` vectors and scales from `first` on, or the last ones; copies only to pad a part."""
    columns = (part.vectors, part.scale)
    missing = rows - len(part.vectors[0])
    if missing > 0:
        pad = lambda a: np.pad(a, ((0, missing), *((0, 0),) * (a.ndim - 1)))  # noqa: E731
        return tuple(tuple(map(pad, arrays)) for arrays in columns)
    first = min(first, -missing)
    return tuple(tuple(array[first : first + rows] for array in arrays) for arrays in columns)


def _place(shares: Sequence[Block], mesh: Mesh) -> Block:
    """The devices' shares as arrays over the mesh; on the CPU they are not copied.

    A process places those of its own devices.
    """
    sharding = along_batch(mesh)

    def place(*leaves: np.ndarray) -> Array:
        pieces = [
            jax.device_put(leaf, device, may_alias=True)
            for leaf, device in zip(leaves, mesh.devices.flat, strict=True)
            if device.process_index == jax.process_index()
        ]
        shape = (len(leaves) * leaves[0].shape[0], *leaves[0].shape[1:])
        return jax.make_array_from_single_device_arrays(shape, sharding, pieces)

    return jax.tree.map(place, *shares)
