"""The videos of a corpus ranked for its queries: by a retriever, or by a file of scores."""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from vmr_jax.data.batches.data_paths import query_batch
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.splits import evaluation_corpus
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation.submission import read_submission
from vmr_jax.search.encoding import code_of_one_clip, encode_native
from vmr_jax.search.exact import top_videos
from vmr_jax.search.table import Clips, make_table
from vmr_jax.search.trained import Trained, open_trained
from vmr_jax.training.logs import track
from vmr_jax.types import Array, Config, Moments, Params, Queries, Retriever, Videos

_QUERIES = 64  # that are encoded at a time


class RankedVideos(NamedTuple):
    """The best videos of Q queries, best first."""

    score: np.ndarray  # (Q, C) float32, -inf on padding
    row: np.ndarray  # (Q, C) int32 row of the corpus, -1 on padding

    def as_moments(self) -> Moments:
        """Whole videos, for the metrics of video retrieval."""
        zero = np.zeros(self.score.shape, np.float32)
        return Moments(zero, zero, self.score, self.row)


def rank_videos(
    trained: Trained[Retriever], corpus: Domain, top_k: int, mesh: Mesh, console: Console
) -> RankedVideos:
    """The best `top_k` videos of a corpus for each of its queries (PREM, Eq. 6)."""
    retriever = trained.system

    def apart(params: Params, videos: Videos) -> tuple[Array, ...]:
        """The vectors of each modality, (B, N, D)."""
        return jnp.unstack(retriever.encode_videos(params, videos), axis=2)

    vectors = encode_corpus(trained, apart, corpus, console)
    table = make_table([Clips(vectors, corpus.pairs.num_clips)], mesh)
    encode = jax.jit(retriever.encode_queries)
    found = [
        jax.device_get(top_videos(encode(trained.params, queries), table, top_k))
        for _, queries in query_batches(corpus)
    ]
    count = len(corpus.pairs.video)
    return RankedVideos(*(np.concatenate(part)[:count] for part in zip(*found, strict=True)))


def encode_corpus(
    trained: Trained, encode: Callable[..., Any], corpus: Domain, console: Console
) -> Any:
    """What `encode(params, Videos)` makes of the clips of all videos, a tree of arrays (R, ...).

    Besides the arrays, which hold one video after the other, only a batch is in memory.
    """
    dataset = corpus.dataset

    def native() -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
        places = track(range(len(corpus.video_row)), f"encoding {dataset.name}", console)
        for row in (int(corpus.video_row[place]) for place in places):
            sub = dataset.subtitles(row) if dataset.subtitles else None
            yield dataset.videos.video_id[row], dataset.videos.features(row), sub

    counts = corpus.pairs.num_clips
    codes = jax.tree.map(
        lambda one: np.empty((counts.sum(), *one.shape[2:]), one.dtype),
        code_of_one_clip(trained, encode),
    )
    encoded = encode_native(trained, encode, native())
    for count, end, code in zip(counts, np.cumsum(counts), encoded, strict=True):
        for rows, of_video in zip(jax.tree.leaves(codes), jax.tree.leaves(code), strict=True):
            rows[end - count : end] = of_video
    return codes


def query_batches(corpus: Domain) -> Iterator[tuple[np.ndarray, Queries]]:
    """All queries of a corpus in batches of one size, with their rows.

    The last batch is filled up with the last query.
    """
    count = len(corpus.pairs.video)
    for first in range(0, count, _QUERIES):
        rows = np.minimum(np.arange(first, first + _QUERIES), count - 1)
        queries = query_batch(corpus, rows)
        yield rows, queries._replace(query=queries.query.astype(np.float32))


class FirstStage(NamedTuple):
    """What ranks the videos for a localizer."""

    # (split, its corpus, top_k, mesh, console) -> the ranking
    rank: Callable[[str, Domain, int, Mesh, Console], RankedVideos]
    identity: str  # changes when the ranking may change


def first_stage(config: Config) -> FirstStage:
    """The run config.first.checkpoint, or the file config.first.scores_file in its place.

    The file is a submission whose task VR lists the videos of each query with their scores, as
    another system ranks them. Raises FileNotFoundError where there is neither; ranking raises
    ValueError where they are of other videos or queries, or a score is not finite.
    """
    if config.first.scores_file:
        return _external(Path(config.first.scores_file))
    retriever = open_trained(config.first.checkpoint, Retriever)

    def rank(split: str, corpus: Domain, top_k: int, mesh: Mesh, console: Console) -> RankedVideos:
        reads = _on_the_data_of(config, retriever)
        own = evaluation_corpus(reads, evaluation_dataset(reads), split)
        _check_same(corpus, own, config.first.checkpoint)
        return rank_videos(retriever, own, top_k, mesh, console)

    return FirstStage(rank, retriever.identity["fingerprint"])


def _on_the_data_of(config: Config, retriever: Trained) -> Config:
    """The retriever's config, which says what it reads, on the splits of the localizer."""
    own = Config(retriever.config.to_dict())
    own.update({name: config[name] for name in ("data_dir", "seed", "select")})
    for name in ("dataset", "train_split", "select_split", "eval_split"):
        own.target[name] = config.target[name]
    return own


def _check_same(corpus: Domain, own: Domain, checkpoint: str) -> None:
    for what, ids in (("videos", _video_ids), ("queries", lambda domain: domain.table.query_id)):
        if ids(corpus) != ids(own):
            raise ValueError(
                f"the retriever in {checkpoint} reads features {own.dataset.feature_name!r} of "
                f"{own.dataset.name}, which are there for other {what} than "
                f"{corpus.dataset.feature_name!r}: prepare both for the same ones"
            )


def _video_ids(corpus: Domain) -> tuple[str, ...]:
    return tuple(corpus.dataset.videos.video_id[row] for row in corpus.video_row)


def _external(path: Path) -> FirstStage:
    submission = read_submission(path)
    if "VR" not in submission.tasks:
        raise ValueError(f"{path} ranks no videos: it has no task VR")
    listed = submission.tasks["VR"]

    def rank(split: str, corpus: Domain, top_k: int, mesh: Mesh, console: Console) -> RankedVideos:
        del mesh, console
        missing = [query for query in corpus.table.query_id if query not in listed]
        if missing:
            raise ValueError(
                f"{path} ranks no videos for {len(missing)} of {len(corpus.table.query_id)} "
                f"queries of {split}, e.g. {', '.join(missing[:3])}"
            )
        # Videos of other splits are no part of this corpus.
        index = submission.video_index
        place = {index[v]: row for row, v in enumerate(_video_ids(corpus)) if v in index}
        score = np.full((len(corpus.table.query_id), top_k), -np.inf, np.float32)
        row = np.full(score.shape, -1, np.int32)
        for query, name in enumerate(corpus.table.query_id):
            found = {}  # the first place of each video
            for video, _, _, value in listed[name]:
                if int(video) in place:
                    found.setdefault(place[int(video)], value)
            best = list(found.items())[:top_k]
            row[query, : len(best)] = [video for video, _ in best]
            score[query, : len(best)] = [value for _, value in best]
            if not np.isfinite(score[query, : len(best)]).all():
                raise ValueError(f"{path} gives videos scores that are not finite for query {name}")
        return RankedVideos(score, row)

    return FirstStage(rank, hashlib.sha256(path.read_bytes()).hexdigest())
