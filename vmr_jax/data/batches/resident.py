"""The device-resident data path: a domain's tables live on the device, rows are gathered there."""

from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from vmr_jax.data.batches.pairs import Domain, Index, Pairs, VideoFeatures, make_batch, videos_of
from vmr_jax.data.batches.pipeline import read_videos
from vmr_jax.types import Batch, CandidateBatch, VideoBatch


class ResidentTables(NamedTuple):
    """A domain on the device."""

    videos: VideoFeatures  # of all V videos, float16
    pairs: Pairs


def load_tables(domain: Domain, mesh: jax.sharding.Mesh, progress=iter) -> ResidentTables:
    """Read the domain's V videos once and put everything on each device of the mesh.

    `progress` wraps the loop over videos. Raises MemoryError with both sizes where the tables
    would not fit the device.
    """
    videos = len(domain.video_row)
    _check_memory(videos * _bytes(domain.blank(1)) + _bytes(domain.pairs), domain)
    shown = read_videos(domain, np.arange(videos), progress)
    replicated = NamedSharding(mesh, PartitionSpec())
    put = lambda array: jax.make_array_from_process_local_data(replicated, array)  # noqa: E731
    return jax.tree.map(put, ResidentTables(shown, domain.pairs))


def gather_batch(tables: ResidentTables, index: Index) -> Batch | VideoBatch | CandidateBatch:
    """The batch of an index, inside jit."""
    rows = videos_of(tables.pairs, index)
    shown = jax.tree.map(lambda part: part[rows].astype(np.float32), tables.videos)
    return make_batch(tables.pairs, shown, index)


def _bytes(tables: VideoFeatures | Pairs) -> int:
    return sum(part.nbytes for part in jax.tree.leaves(tables))


def _check_memory(needed: int, domain: Domain) -> None:
    stats = jax.local_devices()[0].memory_stats() or {}
    free = stats.get("bytes_limit", 0) - stats.get("bytes_in_use", 0)
    if stats and needed > free:
        raise MemoryError(
            f"the features of {domain.dataset.name} need {needed / 2**30:.1f} GiB on the "
            f"device, which has {free / 2**30:.1f} GiB free: use --config.data.residency=host, "
            "or a smaller max_clips or patch_frames"
        )
