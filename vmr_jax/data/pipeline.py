"""The streamed data path: grain reads the batch of each step from the videos table."""

from collections.abc import Callable, Iterator, Sequence

from vmr_jax.data.pairs import (
    Domain,
    PairIndex,
    VideoFeatures,
    VideoIndex,
    make_batch,
    videos_of,
)
from vmr_jax.types import Batch, VideoBatch


def read_batch(domain: Domain, index: PairIndex | VideoIndex) -> Batch | VideoBatch:
    """The batch of an index on the host. Features stay float16; the step casts them."""
    shown = read_videos(domain, videos_of(domain.pairs, index))
    return make_batch(domain.pairs, shown, index)


def read_videos(domain: Domain, rows: Sequence[int], progress=iter) -> VideoFeatures:
    """Read what is shown of some videos of a domain; `progress` wraps the loop over them."""
    shown = domain.blank(len(rows))
    for item in progress(range(len(rows))):
        features = domain.features(rows[item])
        shown.video[item, : len(features)] = features
        if domain.patch_frames:
            shown.patches[item], shown.patch_cls[item] = domain.patches(rows[item])
    return shown


def stream(
    read_step: Callable[[int], object], first: int, last: int, threads: int, prefetch: int
) -> Iterator:
    """Yield read_step(k) for k in [first, last), read ahead by grain's threads, in order."""
    import grain

    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=prefetch)
    steps = grain.MapDataset.range(first, last).map(read_step)
    return iter(steps.to_iter_dataset(options))
