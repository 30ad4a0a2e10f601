"""What makes the batch of step k: a pure function of (seed, domain, k)."""

import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from vmr_jax.data.batches.pairs import CandidateIndex, Index, PairIndex, VideoIndex

# A batch is of pairs, of videos with all their queries, or of pairs with further videos.
FORMS = ("pairs", "videos", "candidates")

_Held = TypeVar("_Held", bound=Index, covariant=True)


class Sampler(NamedTuple, Generic[_Held]):
    """The batches of a domain; each epoch visits it once, in a new order."""

    steps_per_epoch: int
    index: Callable[[int], _Held]  # step -> what the batch holds


def make_sampler(
    video: np.ndarray, batch_size: int, seed: int, domain: str, queries_per_video: int = 1
) -> Sampler[PairIndex]:
    """Sampler of pairs, whose videos are `video` (Q,).

    An epoch leaves out the last Q mod batch_size pairs of its order; the domain with fewer steps
    simply starts its next epoch, so a source cycles. With `queries_per_video` = 2 the pairs of a
    video come two by two (EVA A16): a left-over query is joined by another one of its video, or
    by itself if it has none.
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
    steps = len(video) // batch_size
    weight = np.ones(batch_size, np.float32)

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        rng = _generator(seed, domain, epoch)
        if queries_per_video == 1:
            return rng.permutation(len(video)).astype(np.int32)
        return _in_twos(video, rng)

    def index(step: int) -> PairIndex:
        epoch, step = divmod(step, steps)
        return PairIndex(order(epoch)[step * batch_size : (step + 1) * batch_size], weight)

    return Sampler(steps, index)


def make_video_sampler(
    video: np.ndarray, batch_size: int, seed: int, domain: str, epochs: int, multiple: int = 1
) -> Sampler[VideoIndex]:
    """Sampler of videos with all their queries, whose videos are `video` (Q,).

    The last batch of an epoch may be smaller. All batches have room for as many queries as the
    largest of the first `epochs` epochs holds, a multiple of `multiple`.
    """
    queries = _queries_by_video(video)
    counts = np.array([len(rows) for rows in queries])
    steps = -(-len(queries) // batch_size)

    @lru_cache(maxsize=2)
    def order(epoch: int) -> np.ndarray:
        return _generator(seed, domain, epoch).permutation(len(queries)).astype(np.int32)

    def videos(step: int) -> np.ndarray:
        epoch, step = divmod(step, steps)
        return order(epoch)[step * batch_size : (step + 1) * batch_size]

    most = max(counts[videos(step)].sum() for step in range(epochs * steps))
    room = -(-most // multiple) * multiple

    def index(step: int) -> VideoIndex:
        return _video_index(videos(step), queries, batch_size, room)

    return Sampler(steps, index)


def make_candidate_sampler(
    video: np.ndarray,
    candidates: np.ndarray,
    negatives: int,
    batch_size: int,
    seed: int,
    domain: str,
) -> Sampler[CandidateIndex]:
    """Sampler of pairs, whose videos are `video` (Q,), with `negatives` other videos each.

    The pairs come as from `make_sampler`. The others are different ones drawn uniformly from the
    query's row of `candidates` (Q, R), which are rows of the videos, -1 padded at the end; where
    those do not suffice, all of them and further videos drawn uniformly from the rest (PREM,
    section 4.2). The query's own video is never among them. Raises ValueError where the videos or
    the candidates do not allow that.
    """
    pairs = make_sampler(video, batch_size, seed, domain)
    count = int(video.max()) + 1
    if not 1 <= negatives < count:
        raise ValueError(
            f"negatives is {negatives}, but the {domain} has {count} training videos: it must be "
            "at least 1, and leave the video that the query is about"
        )
    highest = candidates.max(initial=-1)
    if len(candidates) != len(video) or highest >= count:
        raise ValueError(
            f"the candidates are videos up to row {highest} for {len(candidates)} queries, but the "
            f"{domain} has {len(video)} queries over {count} videos: rank its own videos again"
        )
    if (candidates == video[:, None]).any():
        raise ValueError(f"candidates of the {domain} hold the video that the query is about")

    def index(step: int) -> CandidateIndex:
        query, weight = pairs.index(step)
        rng = _generator(seed, f"{domain} candidates", step)
        known = candidates[query]
        order = np.where(known < 0, 1.0, rng.random(known.shape)).argsort(axis=1, kind="stable")
        drawn = np.full((len(query), negatives), -1, np.int32)
        first = np.take_along_axis(known, order[:, :negatives], axis=1)
        drawn[:, : first.shape[1]] = first
        for row in np.flatnonzero((drawn < 0).any(axis=1)):
            taken = drawn[row] >= 0
            rest = np.setdiff1d(np.arange(count), [video[query[row]], *drawn[row, taken]])
            drawn[row, ~taken] = rng.choice(rest, (~taken).sum(), replace=False)
        return CandidateIndex(query, weight, drawn)

    return Sampler(pairs.steps_per_epoch, index)


def in_order(
    form: str, video: np.ndarray, batch_size: int, multiple: int = 1
) -> list[PairIndex] | list[VideoIndex]:
    """Batches that visit each query once; the last one is filled with padding."""
    if form == "pairs":
        rows = np.zeros(-(-len(video) // batch_size) * batch_size, np.int32)
        rows[: len(video)] = np.arange(len(video))
        weight = (np.arange(len(rows)) < len(video)).astype(np.float32)
        parts = rows.reshape(-1, batch_size), weight.reshape(-1, batch_size)
        return [PairIndex(*part) for part in zip(*parts, strict=True)]
    queries = _queries_by_video(video)
    every = np.arange(len(queries), dtype=np.int32)
    chunks = [every[i : i + batch_size] for i in range(0, len(every), batch_size)]
    most = max(sum(len(queries[v]) for v in chunk) for chunk in chunks)
    room = -(-most // multiple) * multiple
    return [_video_index(chunk, queries, batch_size, room) for chunk in chunks]


def _queries_by_video(video: np.ndarray) -> list[np.ndarray]:
    """The rows of the queries of each video."""
    order = np.argsort(video, kind="stable").astype(np.int32)
    return np.split(order, np.flatnonzero(np.diff(video[order])) + 1)


def _video_index(
    videos: np.ndarray, queries: list[np.ndarray], batch_size: int, room: int
) -> VideoIndex:
    """The index of some videos, padded to `batch_size` videos and `room` queries."""
    rows = np.concatenate([queries[video] for video in videos])
    owner = np.repeat(np.arange(len(videos)), [len(queries[video]) for video in videos])
    pad = lambda x, n: np.pad(x, (0, n - len(x))).astype(np.int32)  # noqa: E731
    return VideoIndex(
        video=pad(videos, batch_size),
        weight=(np.arange(batch_size) < len(videos)).astype(np.float32),
        query=pad(rows, room),
        owner=pad(owner, room),
        query_weight=(np.arange(room) < len(rows)).astype(np.float32),
    )


def _generator(seed: int, domain: str, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(domain.encode()), epoch])


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
