"""One split of one dataset as a config's block describes it: its pairs, and what they show."""

from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data.batches import clips, labels
from vmr_jax.data.batches.normalization import normalization_of, normalize_frames
from vmr_jax.data.batches.pairs import Pairs, VideoFeatures
from vmr_jax.data.batches.words import Words, read_words
from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.data.tables.video_table import Read, VideoTable
from vmr_jax.types import DataSpec


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
            frames = normalize_frames(frames, self.dataset.videos.parts)
        return self._sampled(frames)

    def subtitles(self, row: int) -> np.ndarray:
        """The subtitles (num_clips, S) float16 of the sampled clips of one video."""
        read = _loaded(self.dataset.subtitles, "subtitles", self.dataset)
        return self._sampled(read(int(self.video_row[row])))

    def _sampled(self, frames: np.ndarray) -> np.ndarray:
        sampled = clips.sample_clips(frames, self.spec.max_clips, self.sampling)
        return sampled.astype(np.float16)

    def patches(self, row: int) -> tuple[np.ndarray, np.ndarray]:
        """The patches (L, G, F) of L frames of one video, and the frames' features (L, F)."""
        row = int(self.video_row[row])
        frames = clips.centre_frames(int(self.dataset.videos.num_clips[row]), self.patch_frames)
        read = _loaded(self.dataset.patches, "patches", self.dataset)
        return read(row)[frames], self.dataset.videos.features(row)[frames]

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


def make_domain(
    dataset: Dataset,
    split: str,
    settings: Any,
    rows: np.ndarray | None = None,
    text: Any = None,
    *,
    corpus: np.ndarray | None = None,
    candidates: np.ndarray | None = None,
) -> Domain:
    """The pairs of `split` under a config's domain block; `rows` keeps only some queries.

    With a config's `text` block the words are its encoder's token ids; else features of the tokens
    where the dataset was loaded with them, and rows of the prepared word vectors where not. Patches
    and subtitles are shown where the dataset was loaded with them.

    Args:
        corpus: (V,) rows of the videos table in ascending order: the videos of the domain. None:
            those that the queries are about. With it a query's video may be hidden (row -1).
        candidates: (Q, R) other videos for each query, see `Domain`.

    Raises:
        ValueError: the split is not known, is empty, or hides its videos; `settings.labels` is set
            and a query has no moment; there is no `text` and the dataset has no word vectors; the
            features are patches; or `settings.patch_frames` is not positive where there are some.
        FileNotFoundError, ValueError: as `tokens.make_tokenizer`.
    """
    table = find_split(dataset, split)
    if rows is not None:
        table = _take(table, rows)
    _check(dataset, split, table, settings, hidden=corpus is not None)
    words = read_words(dataset, table, settings.max_words, text)
    moment = np.full((len(table.video), 2), np.nan, np.float32)
    rule = settings.get("training_moment", "agreed")  # older checkpoints name none
    if settings.labels:
        moment = labels.training_moments(table, rule, split, dataset.name)
    video_row = np.unique(table.video) if corpus is None else corpus
    pairs = _make_pairs(dataset.videos, table.video, video_row, words, moment, settings)
    if settings.labels and rule == labels.ALL:
        duration, count = pairs.duration[pairs.video], pairs.num_clips[pairs.video]
        pairs = pairs._replace(
            moments=labels.every_moment(table),
            saliency=labels.clip_saliency(table, duration, count),
        )
    return Domain(
        pairs=pairs,
        video_row=video_row,
        moments=table.moments,
        table=table,
        dataset=dataset,
        spec=DataSpec(
            video_dim=dataset.videos.feature_dim,
            word_dim=0 if words.vectors is None else words.vectors.shape[1],
            max_clips=settings.max_clips,
            max_words=settings.max_words,
            sub_dim=dataset.sub_dim,
        ),
        sampling=settings.clip_sampling,
        l2norm=normalization_of(settings) == "l2",
        cut_queries=words.cut,
        unknown_words=words.unknown,
        patch_frames=settings.patch_frames if dataset.patches else 0,
        candidates=candidates,
    )


def find_split(dataset: Dataset, split: str) -> MomentTable:
    """The queries of a split. Raises ValueError, with the splits that are there, for another."""
    if split not in dataset.splits:
        raise ValueError(
            f"dataset {dataset.name} has no split {split!r}; it has {sorted(dataset.splits)}"
        )
    return dataset.splits[split]


def _loaded(read: Read | None, what: str, dataset: Dataset) -> Read:
    """The reader of what a dataset may be loaded without; ValueError where it was."""
    if read is None:
        raise ValueError(f"dataset {dataset.name} was loaded without {what}")
    return read


def _check(
    dataset: Dataset, split: str, table: MomentTable, settings: Any, *, hidden: bool
) -> None:
    """Refuse what makes no domain; `hidden` allows that the videos of queries are not known."""
    if not len(table.video):
        raise ValueError(f"split {split!r} of dataset {dataset.name} has no queries")
    if not hidden and (table.video < 0).any():
        raise ValueError(
            f"split {split!r} of dataset {dataset.name} hides which video a query is about: "
            "moments cannot be retrieved from a given video"
        )
    if dataset.videos.cells:
        raise ValueError(
            f"features {dataset.feature_name!r} of {dataset.name} are patches of frames: name them "
            "as --config.target.patches, and one vector a frame as --config.target.features"
        )
    if dataset.patches and settings.patch_frames < 1:
        raise ValueError(
            f"patch_frames is {settings.patch_frames}; with patches it must be at least 1"
        )


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
        tokens=None if table.tokens is None else table.tokens[rows],
        saliency=None if table.saliency is None else pick(table.saliency),
    )


def _make_pairs(
    videos: VideoTable,
    about: np.ndarray,
    video_row: np.ndarray,
    words: Words,
    moment: np.ndarray,
    settings: Any,
) -> Pairs:
    """The pairs of queries that are `about` rows (Q,) of `videos`, over those in `video_row`."""
    video = np.where(about < 0, -1, np.searchsorted(video_row, about))
    duration = videos.duration[video_row].astype(np.float32)
    native = videos.num_clips[video_row]
    num_clips = clips.num_sampled(native, settings.max_clips, settings.clip_sampling)
    return Pairs(
        video=video.astype(np.int32),
        words=words.ids,
        num_words=words.count,
        moment=moment,
        span=clips.moment_to_span(moment, duration[video], num_clips[video]),
        num_clips=num_clips,
        duration=duration,
        vectors=words.vectors,
        static=words.static,
        dynamic=words.dynamic,
    )
