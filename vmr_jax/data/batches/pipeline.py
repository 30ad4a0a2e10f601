"""The streamed data path: grain reads the batch of each step from the videos table."""

from collections.abc import Callable, Iterator

import numpy as np

from vmr_jax.data.batches.pairs import Domain, Index, VideoFeatures, make_batch, videos_of
from vmr_jax.types import Batch, CandidateBatch, VideoBatch


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


def stream(
    read_step: Callable[[int], object], first: int, last: int, threads: int, prefetch: int
) -> Iterator:
    """Yield read_step(k) for k in [first, last), read ahead by grain's threads, in order."""
    import grain

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    steps = grain.MapDataset.range(first, last).map(read_step)
    return iter(steps.to_iter_dataset(options))
