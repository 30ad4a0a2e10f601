"""The two data paths to a batch: read from the videos table, or gathered from tables on the device.

What is read on the host is float16, as it is stored.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.pairs import Index, Pairs, VideoFeatures, make_batch, videos_of
from vmr_jax.types import Batch, CandidateBatch, Queries, VideoBatch, Videos


def read_batch(domain: Domain, index: Index) -> Batch | VideoBatch | CandidateBatch:
    """The batch of an index on the host. Features stay float16; the step casts them."""
    shown = read_videos(domain, videos_of(domain.pairs, index))
    return make_batch(domain.pairs, shown, index)


def read_videos(domain: Domain, rows: np.ndarray, progress=iter) -> VideoFeatures:
    """Read what is shown of some videos of a domain, rows (B,) or (B, C).

    `progress` wraps the loop over them.
    """
    shown = domain.blank(*rows.shape)
    for item in progress(list(np.ndindex(rows.shape))):
        row = int(rows[item])
        features = domain.features(row)
        shown.video[item][: len(features)] = features
        if domain.spec.sub_dim:
            shown.sub[item][: len(features)] = domain.subtitles(row)
        if domain.patch_frames:
            shown.patches[item], shown.patch_cls[item] = domain.patches(row)
    return shown


def video_batch(corpus: Domain, rows: np.ndarray) -> Videos:
    """The videos in `rows` (B,) of a corpus; features are float16, as they are stored."""
    shown = read_videos(corpus, rows)
    mask = np.arange(corpus.spec.max_clips) < corpus.pairs.num_clips[rows][:, None]
    return Videos(shown.video, mask, shown.sub)


def query_batch(corpus: Domain, rows: np.ndarray) -> Queries:
    """The queries in `rows` (B,) of a corpus."""
    pairs = corpus.pairs
    mask = np.arange(pairs.words.shape[1]) < pairs.num_words[rows][:, None]
    return Queries(pairs.vectors[pairs.words[rows]], mask)


def stream(
    read_step: Callable[[int], object], first: int, last: int, threads: int, prefetch: int
) -> Iterator:
    """Yield read_step(k) for k in [first, last), read ahead by grain's threads, in order."""
    import grain

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    steps = grain.MapDataset.range(first, last).map(read_step)
    return iter(steps.to_iter_dataset(options))


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
