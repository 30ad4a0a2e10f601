"""Exact search of a corpus for videos: the largest cosine of a query with a clip (PREM, Eq. 6)."""

import functools
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from vmr_jax.search.table import Block, Table, concurrent_blocks
from vmr_jax.types import Array

_QUERIES = 64  # that are searched for at a time
_LOCAL, _EVERYWHERE = PartitionSpec("data"), PartitionSpec()


def top_videos(query: Array, table: Table, top_k: int) -> tuple[Array, Array]:
    """The best k videos of each query: score (B, k) float32 and row (B, k) int32, best first.

    `query` is (B, J, D), of length 1 a vector. The score of a video is the mean over the J
    modalities of the largest product with one of its clips (PREM, Eq. 6), computed in float32
    whatever the table holds. Equal scores are in the order of rows. Where the corpus has fewer
    than k videos the rest has score -inf and row -1.

    Each device searches its tiles, keeps its best k, and these are merged once.

    Raises:
        ValueError: top_k below 1, or a query of another shape than the table.
    """
    query = jnp.asarray(query, jnp.float32)
    block = table.blocks[0]
    wanted = (len(block.vectors), block.vectors[0].shape[1])
    if query.ndim != 3 or not len(query) or query.shape[1:] != wanted:
        raise ValueError(
            f"the queries are of shape {query.shape}, but this corpus needs (queries, "
            f"{wanted[0]} modalities, width {wanted[1]})"
        )
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be at least 1")
    found = []
    for first in range(0, len(query), _QUERIES):
        some = query[first : first + _QUERIES]
        missing = _QUERIES - len(some) if len(query) > _QUERIES else 0
        some = jnp.pad(some, ((0, missing), (0, 0), (0, 0)))
        found.append(_search(some, table, top_k))
    score, row = (jnp.concatenate(part)[: len(query)] for part in zip(*found, strict=True))
    return score, row


def _search(query: Array, table: Table, top_k: int) -> tuple[Array, Array]:
    """Search the blocks, on a CPU as many at a time as it has cores, and merge what was found."""

    def search(block: Block) -> tuple[Array, Array]:
        return jax.block_until_ready(_search_block(query, block, table.mesh, top_k))

    found = list(_workers(concurrent_blocks(table.mesh)).map(search, table.blocks))
    return _merge(found, table.mesh, top_k)


@functools.cache
def _workers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="search")


@functools.partial(jax.jit, static_argnames=("mesh", "top_k"))
def _search_block(query: Array, block: Block, mesh: Mesh, top_k: int) -> tuple[Array, Array]:
    """Each device's best of a block: (devices * B, k) scores and rows, fewer if it has fewer."""

    def search(query, block):
        def add_tile(tile, score):
            found = _tile_scores(query, block, block.start[tile], block.owner[tile])
            return score.at[tile].set(found)

        score = jnp.zeros((*block.row.shape, len(query)))
        score = jax.lax.fori_loop(
            0, block.tiles[0], add_tile, jax.lax.pcast(score, "data", to="varying")
        )
        row = block.row.reshape(-1)
        score = jnp.where(row[:, None] < 0, -jnp.inf, score.reshape(len(row), -1))
        score, place = jax.lax.top_k(score.T, min(top_k, len(row)))
        return score, jnp.where(jnp.isneginf(score), -1, row[place])

    return jax.shard_map(
        search, mesh=mesh, in_specs=(_EVERYWHERE, _LOCAL), out_specs=(_LOCAL, _LOCAL)
    )(query, block)


def _tile_scores(query: Array, block: Block, start: Array, owner: Array) -> Array:
    """The scores (I, B) of the videos of a tile; of those that are not there any number."""
    total = jnp.float32(0)
    for modality, vectors in enumerate(block.vectors):
        rows = jax.lax.dynamic_slice_in_dim(vectors, start, len(owner)).astype(jnp.float32)
        product = _products(rows, query[:, modality])
        if block.scale:
            scale = jax.lax.dynamic_slice_in_dim(block.scale[modality], start, len(owner))
            product *= scale[:, None]
        total += jax.ops.segment_max(
            product, owner, num_segments=block.row.shape[1], indices_are_sorted=True
        )
    return total / len(block.vectors)


def _products(rows: Array, query: Array) -> Array:
    """Products (T, B) of rows (T, D) and queries (B, D).

    One query is read once and multiplied as the rows come from memory, which XLA does best when
    it stands on the left.
    """
    precision = jax.lax.Precision.HIGHEST
    if len(query) == 1:
        return jnp.matmul(query, rows.T, precision=precision).T
    return jnp.matmul(rows, query.T, precision=precision)


@functools.partial(jax.jit, static_argnames=("mesh", "top_k"))
def _merge(found: list, mesh: Mesh, top_k: int) -> tuple[Array, Array]:
    """The best k (B, k) of all blocks and devices, by score and then by row."""

    def merge(found):
        # The rows of a device ascend from block to block, so that top_k keeps the order of equals.
        score, row = (jnp.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        score, place = jax.lax.top_k(score, min(top_k, score.shape[1]))
        row = jnp.take_along_axis(row, place, axis=1)
        score, row = (jax.lax.all_gather(x, "data", axis=1, tiled=True) for x in (score, row))
        score, row = jax.lax.sort((-score, row), num_keys=2)
        missing = ((0, 0), (0, max(top_k - score.shape[1], 0)))
        score = jnp.pad(-score, missing, constant_values=-jnp.inf)
        return score[:, :top_k], jnp.pad(row, missing, constant_values=-1)[:, :top_k]

    # Every device sorts the same, which the check of replication cannot see.
    return jax.shard_map(
        merge, mesh=mesh, in_specs=(_LOCAL,), out_specs=_EVERYWHERE, check_vma=False
    )(found)
