"""The streamed data path: grain reads the batch of each step from the videos table."""

from collections.abc import Callable, Iterator

import numpy as np

from vmr_jax.data.pairs import Domain, PairIndex, VideoIndex, make_batch, videos_of
from vmr_jax.types import Batch, VideoBatch


def read_batch(domain: Domain, index: PairIndex | VideoIndex) -> Batch | VideoBatch:
    """The batch of an index on the host. Clip features stay float16; the step casts them."""
    videos = videos_of(domain.pairs, index)
    video = np.zeros((len(videos), domain.spec.max_clips, domain.spec.video_dim), np.float16)
    for item, row in enumerate(videos):
        features = domain.features(row)
        video[item, : len(features)] = features
    return make_batch(domain.pairs, video, index)


def stream(
    read_step: Callable[[int], object], first: int, last: int, threads: int, prefetch: int
) -> Iterator:
    """Yield read_step(k) for k in [first, last), read ahead by grain's threads, in order."""
    import grain

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    steps = grain.MapDataset.range(first, last).map(read_step)
    return iter(steps.to_iter_dataset(options))
