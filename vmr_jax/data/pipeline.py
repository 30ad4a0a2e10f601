"""The streamed data path: grain reads the batch of each step from the videos table."""

from collections.abc import Callable, Iterator

import numpy as np

from vmr_jax.data.pairs import Domain, make_batch
from vmr_jax.types import Batch


def read_batch(domain: Domain, rows: np.ndarray, weight: np.ndarray) -> Batch:
    """The batch of `rows` (B,) on the host. Clip features stay float16; the step casts them."""
    video = np.zeros((len(rows), domain.spec.max_clips, domain.spec.video_dim), np.float16)
    for item, row in enumerate(domain.pairs.video[rows]):
        features = domain.features(row)
        video[item, : len(features)] = features
    return make_batch(domain.pairs, video, rows, weight)


def stream(
    read_step: Callable[[int], object], first: int, last: int, threads: int, prefetch: int
) -> Iterator:
    """Yield read_step(k) for k in [first, last), read ahead by grain's threads, in order."""
    import grain

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    steps = grain.MapDataset.range(first, last).map(read_step)
    return iter(steps.to_iter_dataset(options))
