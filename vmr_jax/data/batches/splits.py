"""A split of a prepared dataset as the Domain that a config's block describes."""

from typing import Any

import numpy as np

from vmr_jax.data.batches import clips
from vmr_jax.data.batches.pairs import Domain, Pairs
from vmr_jax.data.batches.training_moments import training_moments
from vmr_jax.data.batches.words import read_words
from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.types import DataSpec


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
    if not len(table.video):
        raise ValueError(f"split {split!r} of dataset {dataset.name} has no queries")
    if corpus is None and (table.video < 0).any():
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
    video_row = np.unique(table.video) if corpus is None else corpus
    video = np.where(table.video < 0, -1, np.searchsorted(video_row, table.video))
    duration = dataset.videos.duration[video_row]
    num_clips = clips.num_sampled(
        dataset.videos.num_clips[video_row], settings.max_clips, settings.clip_sampling
    )
    moment = np.full((len(video), 2), np.nan, np.float32)
    if settings.labels:  # checkpoints of older versions name no rule
        rule = settings.get("training_moment", "agreed")
        moment = training_moments(table, rule, split, dataset.name)
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
        sub_dim=dataset.sub_dim,
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
        candidates=candidates,
    )


def find_split(dataset: Dataset, split: str) -> MomentTable:
    """The queries of a split. Raises ValueError, with the splits that are there, for another."""
    if split not in dataset.splits:
        raise ValueError(
            f"dataset {dataset.name} has no split {split!r}; it has {sorted(dataset.splits)}"
        )
    return dataset.splits[split]


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
    )
