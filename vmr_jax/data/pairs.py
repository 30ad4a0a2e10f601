"""A domain's split as a table of pairs, and the batches that rows of it make."""

from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data import clips
from vmr_jax.data.masking import MaskedQueries
from vmr_jax.data.tables import Dataset, MomentTable
from vmr_jax.data.words import read_words
from vmr_jax.types import Batch, DataSpec, VideoBatch

_SHOWN = 5  # ids listed in a message


class Pairs(NamedTuple):
    """Q pairs over V videos: NumPy arrays, or the same arrays on the device."""

    video: Any  # (Q,) int32 row of `num_clips`, `duration` and of the feature table
    words: Any  # (Q, M) int32 rows of `vectors`, or token ids
    num_words: Any  # (Q,) int32
    moment: Any  # (Q, 2) float32 seconds; NaN where hidden
    span: Any  # (Q, 2) int32 inclusive clips; -1 where hidden
    num_clips: Any  # (V,) int32
    duration: Any  # (V,) float32 seconds
    vectors: Any  # (W, E) float32; None where the words are token ids
    static: MaskedQueries | None = None  # Q queries, where the config masks them
    dynamic: MaskedQueries | None = None


class VideoFeatures(NamedTuple):
    """What is shown of B videos, as one array each: NumPy's, or on the device."""

    video: Any  # (B, N, F) clips, zero padded
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

    def features(self, row: int) -> np.ndarray:
        """The sampled clips (num_clips, F) float16 of one video."""
        frames = self.dataset.videos.features(int(self.video_row[row]))
        if self.l2norm:
            frames = clips.normalize_frames(frames)
        sampled = clips.sample_clips(frames, self.spec.max_clips, self.sampling)
        return sampled.astype(np.float16)

    def patches(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The patches (L, G, F) of L frames of one video, and the frames' features (L, F)."""
        row = int(self.video_row[row])
        frames = clips.centre_frames(int(self.dataset.videos.num_clips[row]), self.patch_frames)
        return self.dataset.patches(row)[frames], self.dataset.videos.features(row)[frames]

    def blank(self, count: int) -> VideoFeatures:
        """Room for what is shown of `count` videos, float16 zeros."""
        zeros = lambda *shape: np.zeros((count, *shape), np.float16)  # noqa: E731
        video = zeros(self.spec.max_clips, self.spec.video_dim)
        if not self.patch_frames:
            return VideoFeatures(video)
        return VideoFeatures(
            video,
            zeros(self.patch_frames, *self.dataset.patch_shape),
            zeros(self.patch_frames, self.spec.video_dim),
        )


def make_domain(
    dataset: Dataset,
    split: str,
    settings: Any,
    rows: np.ndarray | None = None,
    text: Any = None,
) -> Domain:
    """The pairs of `split` under a config's domain block; `rows` keeps only some queries.

    With a config's `text` block the words are its encoder's token ids, else rows of the prepared
    word vectors. Where a query has several annotators, its training moment is the one that agrees
    most with the others. Patches are shown where the dataset was loaded with them.

    Raises:
        ValueError: the split is not known, is empty, or hides its videos; `settings.labels` is set
            and a query has no moment; there is no `text` and the dataset has no word vectors; the
            features are patches; or `settings.patch_frames` is not positive where there are some.
        FileNotFoundError, ValueError: as `tokens.make_tokenizer`.
    """
    if split not in dataset.splits:
        raise ValueError(
            f"dataset {dataset.name} has no split {split!r}; it has {sorted(dataset.splits)}"
        )
    table = dataset.splits[split]
    if rows is not None:
        table = _take(table, rows)
    if not len(table.video):
        raise ValueError(f"split {split!r} of dataset {dataset.name} has no queries")
    if (table.video < 0).any():
        raise ValueError(
            f"split {split!r} of dataset {dataset.name} hides which video a query is about: "
            "moments cannot be retrieved from a given video"
        )
    if dataset.videos.cells:
        raise ValueError(
            f"features {dataset.feature_name!r} of {dataset.name} are patches of frames: name them "
            "as --config.target.patches, and one vector a frame as --config.target.features"
        )
    patch_frames = settings.patch_frames if dataset.patches else 0
    if dataset.patches and patch_frames < 1:
        raise ValueError(f"patch_frames is {patch_frames}; with patches it must be at least 1")
    words = read_words(dataset, table, settings.max_words, text)
    video_row, video = np.unique(table.video, return_inverse=True)
    duration = dataset.videos.duration[video_row]
    num_clips = clips.num_sampled(
        dataset.videos.num_clips[video_row], settings.max_clips, settings.clip_sampling
    )
    moment = np.full((len(video), 2), np.nan, np.float32)
    if settings.labels:
        _refuse_unlabelled(table, split, dataset.name)
        moment = np.stack([_agreed(marked) for marked in table.moments])
    pairs = Pairs(
        video=video.astype(np.int32),
        words=words.ids,
        num_words=words.count,
        moment=moment,
        span=clips.moment_to_span(moment, duration[video], num_clips[video]),
        num_clips=num_clips,
        duration=duration.astype(np.float32),
        vectors=words.vectors,
        static=words.static,
        dynamic=words.dynamic,
    )
    spec = DataSpec(
        video_dim=dataset.videos.feature_dim,
        word_dim=0 if words.vectors is None else words.vectors.shape[1],
        max_clips=settings.max_clips,
        max_words=settings.max_words,
    )
    return Domain(
        pairs=pairs,
        video_row=video_row,
        moments=table.moments,
        table=table,
        dataset=dataset,
        spec=spec,
        sampling=settings.clip_sampling,
        l2norm=settings.get("l2norm", False),  # checkpoints of older versions have no such key
        cut_queries=words.cut,
        unknown_words=words.unknown,
        patch_frames=patch_frames,
    )


def videos_of(pairs: Pairs, index: PairIndex | VideoIndex) -> Any:
    """The rows (B,) of the videos that a batch shows."""
    return index.video if isinstance(index, VideoIndex) else pairs.video[index.query]


def queries_of(index: PairIndex | VideoIndex) -> tuple[Any, Any]:
    """The rows of the queries of a batch, and their weights."""
    if isinstance(index, VideoIndex):
        return index.query, index.query_weight
    return index.query, index.weight


def make_batch(
    pairs: Pairs, shown: VideoFeatures, index: PairIndex | VideoIndex
) -> Batch | VideoBatch:
    """The batch of an index, given what is shown of its videos.

    Works alike on NumPy arrays and, inside jit, on device arrays.
    """
    if isinstance(index, VideoIndex):
        return _make_video_batch(pairs, shown, index)
    rows, weight = index
    video = shown.video
    which = pairs.video[rows]
    num_clips = pairs.num_clips[which]
    num_words = pairs.num_words[rows]
    return Batch(
        video=video,
        video_mask=np.arange(video.shape[1]) < num_clips[:, None],
        num_clips=num_clips,
        query=pairs.vectors[pairs.words[rows]],
        query_mask=np.arange(pairs.words.shape[1]) < num_words[:, None],
        duration=pairs.duration[which],
        video_id=which,
        query_id=rows,
        moment=pairs.moment[rows],
        span=pairs.span[rows],
        weight=weight,
    )


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


def _take(table: MomentTable, rows: np.ndarray) -> MomentTable:
    pick = lambda column: tuple(column[row] for row in rows)  # noqa: E731
    return MomentTable(
        query_id=pick(table.query_id),
        sentence=pick(table.sentence),
        video=table.video[rows],
        words=table.words[rows],
        num_words=table.num_words[rows],
        moments=pick(table.moments),
        chunks=None if table.chunks is None else pick(table.chunks),
    )


def _refuse_unlabelled(table: MomentTable, split: str, name: str) -> None:
    """Raise ValueError if a query to learn from has no moment."""
    ids = [i for i, marked in zip(table.query_id, table.moments, strict=True) if not len(marked)]
    if ids:
        dots = ", ..." if len(ids) > _SHOWN else ""
        raise ValueError(
            f"{len(ids)} of {len(table.query_id)} queries of split {split!r} of dataset {name} "
            f"have no labels to train on: {', '.join(ids[:_SHOWN])}{dots}. Mend the labels and "
            "prepare the dataset again, or train on a split with labels"
        )


def _agreed(marked: np.ndarray) -> np.ndarray:
    """Of (A, 2) marked moments the one with the largest mean IoU with all."""
    start, end = marked.T.astype(np.float64)
    inter = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    hull = np.maximum(end[:, None], end) - np.minimum(start[:, None], start)
    iou = np.clip(inter, 0, None) / np.maximum(hull, 1e-9)
    return marked[iou.mean(axis=1).argmax()].astype(np.float32)
