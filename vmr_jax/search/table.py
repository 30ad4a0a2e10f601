"""The clip vectors of a corpus, cut into blocks of one shape that the devices share."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from vmr_jax.runtime.mesh import along_batch, make_mesh
from vmr_jax.types import Array

DTYPES = ("float32", "float16", "bfloat16", "int8")
_BLOCK_ROWS = 32768  # clips of a block, about: what one dispatch searches
# Clips of a tile: on the CPU its products with 64 queries stay in a core's second-level cache.
_CPU_TILE_ROWS = 2048


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

    vectors: tuple[Array, ...]  # J x (devices * R, D)
    scale: tuple[Array, ...]  # J x (devices * R,) float32, or ()
    start: Array  # (devices * tiles,) int32
    owner: Array  # (devices * tiles, T) int32 which video of the tile; I on rows of none
    row: Array  # (devices * tiles, I) int32 row of the video in the corpus; -1 is padding


class Table(NamedTuple):
    """V videos for `exact.top_videos`."""

    blocks: tuple[Block, ...]
    videos: int  # V, those that are not to be found included
    mesh: Mesh


def make_table(parts: Sequence[Clips], mesh: Mesh | None = None, tile_rows: int = 0) -> Table:
    """Lay the clips of a corpus on the devices of `mesh` (default: all devices).

    The videos of all parts are numbered in order, from 0. On the CPU a block that lies in one
    part stays where it is, so that a part mapped from a file is read when it is searched.
    `tile_rows` is the least number of clips of a tile; 0: what suits the device.

    Raises:
        ValueError: no videos; parts of different width, type or number of modalities; a video
            without clips; counts that are not those of the vectors.
    """
    parts = [part for part in parts if len(part.num_clips)]
    _check(parts)
    mesh = make_mesh() if mesh is None else mesh
    num_clips = np.concatenate([part.num_clips for part in parts]).astype(np.int64)
    kept = np.concatenate([_kept(part) for part in parts])
    tile_rows = tile_rows or (_CPU_TILE_ROWS if _on_cpu(mesh) else _BLOCK_ROWS)
    tile_rows = max(tile_rows, 1 << int(num_clips.max() - 1).bit_length())
    cuts = _cut_tiles(num_clips, tile_rows)
    most = int(np.diff(cuts).max())
    per_block = max(1, _BLOCK_ROWS // tile_rows) * mesh.size
    count = -(-(len(cuts) - 1) // per_block)  # blocks
    tiles = -(-(len(cuts) - 1) // (count * mesh.size))  # of a block and device
    ends = np.concatenate([[0], np.cumsum(num_clips)])
    blocks, position = [], 0
    for _ in range(count):
        shares = []
        for _ in range(mesh.size):
            videos = cuts[position : position + tiles + 1]
            shares.append(_share(parts, ends, kept, videos, tiles, tile_rows, most))
            position += tiles
        blocks.append(_place(shares, mesh))
    return Table(tuple(blocks), len(num_clips), mesh)


def quantize(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (R, D) as int8 and a float32 scale (R,): the largest number of each becomes 127."""
    scale = np.abs(vectors).max(axis=1).astype(np.float32) / 127
    steps = vectors / np.where(scale > 0, scale, 1)[:, None]
    return np.rint(steps).astype(np.int8), scale


def _check(parts: Sequence[Clips]) -> None:
    if not parts:
        raise ValueError("the corpus has no videos")
    first = parts[0]
    for part in parts:
        kinds = [(array.shape[1], str(array.dtype)) for array in part.vectors]
        if kinds != [(first.vectors[0].shape[1], str(first.vectors[0].dtype))] * len(first.vectors):
            raise ValueError(
                "all parts of a corpus must have the same modalities, width and type; there are "
                f"{[(a.shape, str(a.dtype)) for p in (first, part) for a in p.vectors]}"
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


def _cut_tiles(num_clips: np.ndarray, tile_rows: int) -> np.ndarray:
    """First video of each tile, and V: as many whole videos as fit into a tile."""
    ends = np.cumsum(num_clips)
    cuts, taken = [0], 0
    while cuts[-1] < len(num_clips):
        cuts.append(int(np.searchsorted(ends, taken + tile_rows, side="right")))
        taken = ends[cuts[-1] - 1]
    return np.array(cuts)


def _share(parts, ends, kept, videos, tiles: int, tile_rows: int, most: int) -> Block:
    """One device's part of a block, NumPy arrays; `videos` are the cuts of its tiles."""
    start = np.zeros(tiles, np.int32)
    owner = np.full((tiles, tile_rows), most, np.int32)
    row = np.full((tiles, most), -1, np.int32)
    rows = tiles * tile_rows
    first = int(ends[videos[0]]) if len(videos) else 0
    last = int(ends[videos[-1]]) if len(videos) else 0
    vectors, scale, first = _rows(parts, first, last, rows)
    for tile, (begin, end) in enumerate(zip(videos[:-1], videos[1:], strict=True)):
        start[tile] = min(ends[begin] - first, rows - tile_rows)
        offset = ends[begin] - first - start[tile]
        counts = np.diff(ends[begin : end + 1])
        owner[tile, offset : offset + counts.sum()] = np.repeat(np.arange(end - begin), counts)
        row[tile, : end - begin] = np.where(kept[begin:end], np.arange(begin, end), -1)
    return Block(vectors, scale, start, owner, row)


def _rows(parts, first: int, last: int, rows: int):
    """`rows` rows of the corpus that hold [first, last), and where they begin.

    A view where one part has them, which may begin before `first`; else a copy, zero padded.
    """
    begin = 0
    for part in parts:
        end = begin + len(part.vectors[0])
        if begin <= first and last <= end and end - begin >= rows:
            at = min(first, end - rows)
            here = slice(at - begin, at - begin + rows)
            return tuple(a[here] for a in part.vectors), tuple(a[here] for a in part.scale), at
        begin = end
    columns = zip(*((*part.vectors, *part.scale) for part in parts), strict=True)
    copies = []
    for column in columns:
        copy, begin = np.zeros((rows, *column[0].shape[1:]), column[0].dtype), 0
        for array in column:
            here = slice(max(first - begin, 0), max(last - begin, 0))
            piece = array[here]
            at = max(begin - first, 0)
            copy[at : at + len(piece)] = piece
            begin += len(array)
        copies.append(copy)
    modalities = len(parts[0].vectors)
    return tuple(copies[:modalities]), tuple(copies[modalities:]), first


def _place(shares: Sequence[Block], mesh: Mesh) -> Block:
    """The devices' shares as arrays over the mesh; on the CPU they are not copied."""
    sharding = along_batch(mesh)

    def place(*leaves: np.ndarray) -> Array:
        devices = zip(leaves, mesh.devices.flat, strict=True)
        pieces = [jax.device_put(leaf, device, may_alias=True) for leaf, device in devices]
        shape = (len(leaves) * leaves[0].shape[0], *leaves[0].shape[1:])
        return jax.make_array_from_single_device_arrays(shape, sharding, pieces)

    return jax.tree.map(place, *shares)
