"""TVR-Ranking (Liang et al., 2024): a query has moments in many videos, graded from 0 to 4.

A JSON list a split, {"query_id", "query", "relevant_moment": [{"video_name", "timestamp": [start s,
end s], "relevance", ...}, ...]} a query, and video_corpus.json, {video: seconds}. Source:
Ranking-VMR/TVR-Ranking. A moment's grade is the mean of its annotators'. Such labels are scored
(`vmr_jax.evaluation.score_ranking`); they are no dataset to prepare, whose queries have one video.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets.files import field, find_splits, read_json, window

NAME = "tvr_ranking"
FILES = {"val": ("val.json",), "test": ("test.json",)}
CORPUS = "video_corpus.json"
_BEST = 4  # grade


class GradedQuery(NamedTuple):
    """A query with its M moments in several videos."""

    query_id: str
    sentence: str
    videos: tuple[str, ...]  # M ids
    moments: np.ndarray  # (M, 2) seconds
    grades: np.ndarray  # (M,) from 0 to 4


class GradedLabels(NamedTuple):
    """The queries of a split, and the videos that are searched."""

    split: str
    queries: list[GradedQuery]
    durations: dict[str, float]  # video id -> seconds


def read_graded(directory: Path, split: str = "") -> GradedLabels:
    """Read a split; it may be "" where there is one only.

    Raises:
        ValueError: a file is not in the format; a moment's video is not in the corpus; the split is
            not known, or has no query; a query id comes twice.
        FileNotFoundError: no split's file, or no corpus, is there.
    """
    paths, _ = find_splits(NAME, directory, FILES)
    if not split and len(paths) > 1:
        raise ValueError(f"several splits are there; choose one with --split: {', '.join(paths)}")
    split = split or next(iter(paths))
    if split not in paths:
        raise ValueError(f"{NAME} has no split {split!r} here; it has {', '.join(paths)}")
    corpus = directory / CORPUS
    if not corpus.exists():
        raise FileNotFoundError(f"{corpus} is missing: it holds the videos that are searched")
    found = read_json(corpus, dict)
    durations = {
        video: float(field(found, video, (float, int), str(corpus))) for video in map(str, found)
    }
    queries = [
        _query(entry, f"{paths[split]}: query {place}", durations)
        for place, entry in enumerate(read_json(paths[split], list))
    ]
    if not queries:
        raise ValueError(f"{paths[split]} has no queries")
    ids = [query.query_id for query in queries]
    if twice := next((one for one in ids if ids.count(one) > 1), None):
        raise ValueError(f"{paths[split]}: the query id {twice} comes twice")
    return GradedLabels(split, queries, durations)


def _query(entry: object, where: str, durations: dict[str, float]) -> GradedQuery:
    query_id = str(field(entry, "query_id", (int, str), where))
    sentence = field(entry, "query", str, where).strip()
    videos, moments, grades = [], [], []
    for moment in field(entry, "relevant_moment", list, where):
        videos.append(field(moment, "video_name", str, where))
        if videos[-1] not in durations:
            raise ValueError(f"{where}: the video {videos[-1]} is not in {CORPUS}")
        moments.append(window(field(moment, "timestamp", list, where), where))
        grades.append(float(field(moment, "relevance", (float, int), where)))
        if not 0 <= grades[-1] <= _BEST:
            raise ValueError(f"{where}: the relevance {grades[-1]:g} is not from 0 to {_BEST}")
    times = np.array(moments, np.float64).reshape(-1, 2)
    return GradedQuery(query_id, sentence, tuple(videos), times, np.array(grades, np.float64))
