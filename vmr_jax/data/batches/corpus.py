"""The videos that a split's queries are searched in, and what a search encodes of them.

A corpus is a Domain whose videos are those to search: `video_row` has their rows of the videos
table, `pairs.num_clips` and `pairs.duration` belong to them, and `pairs.video` is the row among
them of the video that a query is about, -1 where the split hides it. Ids, sentences and all
annotators' moments stand in `table`.
"""

from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vmr_jax.data.batches.pairs import Domain
from vmr_jax.data.batches.pipeline import read_videos
from vmr_jax.data.batches.splits import find_split, make_domain
from vmr_jax.data.tables.dataset import Dataset
from vmr_jax.types import Queries, Videos


def corpus_of(dataset: Dataset, split: str, rows: np.ndarray | None = None) -> np.ndarray:
    """The rows (V,) of the videos that queries of a split, or `rows` of them, are about.

    Where the split hides them these are the videos that no query of another split is about, as in
    TVR's public test. Raises ValueError for an unknown split, and where no video is left.
    """
    video = find_split(dataset, split).video
    video = video if rows is None else video[rows]
    found = np.unique(video[video >= 0])
    if (video < 0).any():
        others = [table.video for name, table in dataset.splits.items() if name != split]
        taken = np.concatenate([*others, np.zeros(0, np.int32)])
        found = np.union1d(found, np.setdiff1d(np.arange(len(dataset.videos.video_id)), taken))
    if not len(found):
        raise ValueError(
            f"split {split!r} of dataset {dataset.name} has no videos to search: every video that "
            "is there belongs to another split"
        )
    return found.astype(np.int32)


def make_corpus(
    dataset: Dataset,
    split: str,
    settings: Any,
    rows: np.ndarray | None = None,
    text: Any = None,
) -> Domain:
    """A split's queries, or `rows` of them, and the corpus that they are searched in.

    Boundaries are hidden from batches. Raises as `corpus_of` and `make_domain`.
    """
    hidden = ConfigDict(settings.to_dict() | {"labels": False})
    return make_domain(dataset, split, hidden, rows, text, corpus=corpus_of(dataset, split, rows))


def video_batch(corpus: Domain, rows: np.ndarray) -> Videos:
    """The videos in `rows` (B,) of a corpus; features are float16, as they are stored."""
    shown = read_videos(corpus, rows)
    mask = np.arange(corpus.spec.max_clips) < corpus.pairs.num_clips[rows][:, None]
    return Videos(shown.video, mask, shown.sub)


def query_batch(corpus: Domain, rows: np.ndarray) -> Queries:
    """The queries in `rows` (B,) of a corpus."""
    pairs = corpus.pairs
    mask = np.arange(pairs.words.shape[1]) < pairs.num_words[rows][:, None]
    return Queries(pairs.vectors[pairs.words[rows]], mask)
