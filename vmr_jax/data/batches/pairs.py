"""A table of pairs, and the batches that rows of it make."""

from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data.text.masking import MaskedQueries
from vmr_jax.types import Batch, CandidateBatch, VideoBatch


class Pairs(NamedTuple):
    """Q pairs over V videos: NumPy arrays, or the same arrays on the device."""

    # (Q,) int32 row of `num_clips`, `duration` and of the feature table; -1 where hidden
    video: Any
    words: Any  # (Q, M) int32 rows of `vectors`, or token ids
    num_words: Any  # (Q,) int32
    moment: Any  # (Q, 2) float32 seconds; NaN where hidden
    span: Any  # (Q, 2) int32 inclusive clips; -1 where hidden
    num_clips: Any  # (V,) int32
    duration: Any  # (V,) float32 seconds
    # (W, E) float32, or float16 features of tokens; None where the words are token ids
    vectors: Any
    static: MaskedQueries | None = None  # Q queries, where the config masks them
    dynamic: MaskedQueries | None = None
    # Where training learns all moments, see Batch: (Q, A, 2) and, of the clips of the longest
    # video, (Q, N) float32
    moments: Any = None
    saliency: Any = None


class VideoFeatures(NamedTuple):
    """What is shown of B videos, as one array each: NumPy's, or on the device.

    With candidates (B, C, ...) in the place of (B, ...).
    """

    video: Any  # (B, N, F) clips, zero padded
    sub: Any = None  # (B, N, S) the subtitles of the same clips; None: the config names none
    patches: Any = None  # (B, L, G, F); None where the config names none
    patch_cls: Any = None  # (B, L, F) the features of the same L frames


class PairIndex(NamedTuple):
    """Which pairs make a Batch; padding has weight 0."""

    query: Any  # (B,) int32 row of Pairs
    weight: Any  # (B,) float32


class VideoIndex(NamedTuple):
    """Which videos make a VideoBatch, and their queries; padding has weight 0."""

    video: Any  # (B,) int32 row of the pairs' videos
    weight: Any  # (B,) float32
    query: Any  # (T,) int32 row of Pairs
    owner: Any  # (T,) int32 position of the query's video in `video`
    query_weight: Any  # (T,) float32


class CandidateIndex(NamedTuple):
    """Which pairs make a CandidateBatch, and which videos are shown beside theirs."""

    query: Any  # (B,) int32 row of Pairs
    weight: Any  # (B,) float32
    others: Any  # (B, C - 1) int32 rows of the pairs' videos


Index = PairIndex | VideoIndex | CandidateIndex


def videos_of(pairs: Pairs, index: Index) -> Any:
    """The rows (B,) of the videos that a batch shows; (B, C) with candidates."""
    if isinstance(index, VideoIndex):
        return index.video
    own = pairs.video[index.query]
    if isinstance(index, PairIndex):
        return own
    return own.__array_namespace__().concat([own[:, None], index.others], axis=1)


def queries_of(index: Index) -> tuple[Any, Any]:
    """The rows of the queries of a batch, and their weights."""
    if isinstance(index, VideoIndex):
        return index.query, index.query_weight
    return index.query, index.weight


def make_batch(
    pairs: Pairs, shown: VideoFeatures, index: Index
) -> Batch | VideoBatch | CandidateBatch:
    """The batch of an index, given what is shown of its videos.

    Works alike on NumPy arrays and, inside jit, on device arrays.
    """
    if isinstance(index, VideoIndex):
        return _make_video_batch(pairs, shown, index)
    which, rows = videos_of(pairs, index), index.query
    num_clips = pairs.num_clips[which]
    num_words = pairs.num_words[rows]
    fields = {
        "video": shown.video,
        "video_mask": np.arange(shown.video.shape[-2]) < num_clips[..., None],
        "num_clips": num_clips,
        "query": pairs.vectors[pairs.words[rows]],
        "query_mask": np.arange(pairs.words.shape[1]) < num_words[:, None],
        "duration": pairs.duration[which],
        "video_id": which,
        "query_id": rows,
        "moment": pairs.moment[rows],
        "weight": index.weight,
        "sub": shown.sub,
    }
    if isinstance(index, CandidateIndex):
        return CandidateBatch(**fields)
    batch = Batch(span=pairs.span[rows], **fields)
    if pairs.moments is None:
        return batch
    padding = (0, 0), (0, shown.video.shape[1] - pairs.saliency.shape[1])
    pad = pairs.saliency.__array_namespace__().pad
    saliency = pad(pairs.saliency[rows], padding, constant_values=-1)
    return batch._replace(moments=pairs.moments[rows], saliency=saliency)


def _make_video_batch(pairs: Pairs, shown: VideoFeatures, index: VideoIndex) -> VideoBatch:
    num_clips = pairs.num_clips[index.video]
    num_words = pairs.num_words[index.query]
    tokens = pairs.words[index.query]
    return VideoBatch(
        video=shown.video,
        video_mask=np.arange(shown.video.shape[1]) < num_clips[:, None],
        num_clips=num_clips,
        duration=pairs.duration[index.video],
        video_id=index.video,
        weight=index.weight,
        tokens=tokens if pairs.vectors is None else pairs.vectors[tokens],
        token_mask=np.arange(pairs.words.shape[1]) < num_words[:, None],
        owner=index.owner,
        query_id=index.query,
        moment=pairs.moment[index.query],
        query_weight=index.query_weight,
        patches=shown.patches,
        patch_cls=shown.patch_cls,
        **_masked("static", pairs.static, index.query),
        **_masked("dynamic", pairs.dynamic, index.query),
    )


def _masked(part: str, queries: MaskedQueries | None, rows: Any) -> dict[str, Any]:
    """A VideoBatch's fields for a part of its queries."""
    if queries is None:
        return {}
    return {f"{part}_{name}": column[rows] for name, column in queries._asdict().items()}
