"""A domain's split as a table of pairs, and the batches that rows of it make."""

from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data.batches import clips
from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.data.text.masking import MaskedQueries
from vmr_jax.types import Batch, CandidateBatch, DataSpec, VideoBatch


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


class Domain(NamedTuple):
    """One split of one dataset in the form that the two data paths read."""

    pairs: Pairs
    video_row: np.ndarray  # (V,) int32: row of pairs.video -> row of dataset.videos
    moments: tuple[np.ndarray, ...]  # Q arrays (A, 2) seconds, all annotators, never hidden
    table: MomentTable
    dataset: Dataset
    spec: DataSpec
    sampling: str
    l2norm: bool  # each native frame at length 1 before the sampling
    cut_queries: int  # queries longer than max_words, whose last words are left out
    unknown_words: int  # tokens for words that the text encoder's vocabulary lacks
    patch_frames: int  # L; 0 without patches
    # (Q, R) int32 rows of `video_row`: other videos that a retriever ranks high for each query,
    # best first, -1 padded. A run that trains on candidates needs them.
    candidates: np.ndarray | None = None

    def features(self, row: int) -> np.ndarray:
        """The sampled clips (num_clips, F) float16 of one video."""
        frames = self.dataset.videos.features(int(self.video_row[row]))
        if self.l2norm:
            frames = clips.normalize_frames(frames)
        return self._sampled(frames)

    def subtitles(self, row: int) -> np.ndarray:
        """The subtitles (num_clips, S) float16 of the sampled clips of one video."""
        return self._sampled(self.dataset.subtitles(int(self.video_row[row])))

    def _sampled(self, frames: np.ndarray) -> np.ndarray:
        sampled = clips.sample_clips(frames, self.spec.max_clips, self.sampling)
        return sampled.astype(np.float16)

    def patches(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The patches (L, G, F) of L frames of one video, and the frames' features (L, F)."""
        row = int(self.video_row[row])
        frames = clips.centre_frames(int(self.dataset.videos.num_clips[row]), self.patch_frames)
        return self.dataset.patches(row)[frames], self.dataset.videos.features(row)[frames]

    def blank(self, *count: int) -> VideoFeatures:
        """Room for what is shown of `count` videos, float16 zeros."""
        zeros = lambda *shape: np.zeros((*count, *shape), np.float16)  # noqa: E731
        room = VideoFeatures(zeros(self.spec.max_clips, self.spec.video_dim))
        if self.spec.sub_dim:
            room = room._replace(sub=zeros(self.spec.max_clips, self.spec.sub_dim))
        if not self.patch_frames:
            return room
        return room._replace(
            patches=zeros(self.patch_frames, *self.dataset.patch_shape),
            patch_cls=zeros(self.patch_frames, self.spec.video_dim),
        )


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
    return Batch(span=pairs.span[rows], **fields)


def _make_video_batch(pairs: Pairs, shown: VideoFeatures, index: VideoIndex) -> VideoBatch:
    num_clips = pairs.num_clips[index.video]
    num_words = pairs.num_words[index.query]
    return VideoBatch(
        video=shown.video,
        video_mask=np.arange(shown.video.shape[1]) < num_clips[:, None],
        num_clips=num_clips,
        duration=pairs.duration[index.video],
        video_id=index.video,
        weight=index.weight,
        tokens=pairs.words[index.query],
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
