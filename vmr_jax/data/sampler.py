"""Which pairs make the batch of step k: a pure function of (seed, domain, k)."""

import zlib
from collections.abc import Callable
from functools import lru_cache

import numpy as np

# step -> the rows (batch_size,) of the pairs table, int32
Sampler = Callable[[int], np.ndarray]


def make_sampler(
    video: np.ndarray, batch_size: int, seed: int, domain: str, queries_per_video: int = 1
) -> Sampler:
    """Sampler over Q pairs whose videos are `video` (Q,).

    An epoch visits the pairs once in a new order and leaves out the last Q mod batch_size of
    it; the domain with fewer steps simply starts its next epoch, so a source cycles. With
    `queries_per_video` = 2 the pairs of a video come two by two (EVA A16): a left-over query
    is joined by another one of its video, or by itself if it has none.
    """
    if queries_per_video not in (1, 2):
        raise ValueError(f"data.queries_per_video is {queries_per_video}; it must be 1 or 2")
    if batch_size % queries_per_video:
        raise ValueError(f"batch_size {batch_size} is odd, but data.queries_per_video is 2")
    if len(video) < batch_size:
        raise ValueError(
            f"the {domain} has {len(video)} training pairs, fewer than batch_size {batch_size}: "
            f"lower it, e.g. --config.batch_size={max(1, len(video) // 2 * 2)}"
        )
    steps = steps_per_epoch(len(video), batch_size)
    stream = zlib.crc32(domain.encode())

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        rng = np.random.default_rng([seed, stream, epoch])
        if queries_per_video == 1:
            return rng.permutation(len(video)).astype(np.int32)
        return _in_twos(video, rng)

    def rows(step: int) -> np.ndarray:
        epoch, step = divmod(step, steps)
        return order(epoch)[step * batch_size : (step + 1) * batch_size]

    return rows


def steps_per_epoch(pairs: int, batch_size: int) -> int:
    """Full batches in one pass over the pairs."""
    return pairs // batch_size


def _in_twos(video: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order of all pairs in which rows 2i and 2i + 1 are of one video."""
    shuffled = rng.permutation(len(video))
    by_video = shuffled[np.argsort(video[shuffled], kind="stable")]
    starts = np.flatnonzero(np.r_[True, np.diff(video[by_video]) != 0])
    twos = []
    for group in np.split(by_video, starts[1:]):
        if len(group) % 2:
            group = np.append(group, group[0])
        twos.append(group.reshape(-1, 2))
    return rng.permutation(np.concatenate(twos)).reshape(-1).astype(np.int32)
