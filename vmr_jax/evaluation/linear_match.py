"""The yardstick `linear_match` on prepared data: what a ridge finds with a system's supervision.

It sees the words of the system's training splits, moments where `labels` is set and whole videos
where it is not. Clips are those that were prepared, whatever the system samples of them, so that
systems that learn from the same are compared with the same.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from vmr_jax import models
from vmr_jax.data.batches.clips import moment_to_span
from vmr_jax.data.batches.domain import Domain, make_domain
from vmr_jax.datasets import open_dataset
from vmr_jax.metrics import didemo
from vmr_jax.metrics.linear_match import (
    NMS,
    QUANTILES,
    SHARES,
    LinearMatch,
    Scale,
    best_windows,
    fit,
    make_scale,
    unit,
    window_means,
    windows,
)
from vmr_jax.metrics.retrieval import MOST
from vmr_jax.output_files import whole_path
from vmr_jax.types import Config

_RANKED = 10  # moments of a query in a given video
_PER_VIDEO = 5  # moments of a query that each video of a corpus may give
_NATIVE = {"clip_sampling": "native_capped", "max_clips": 2**30}
_TOKEN_WIDTH = 256  # of the random vector that stands for a token id
_SAMPLE = 64  # training videos that tell whether features are never negative
_VERSION = 3  # changes when the figures do


class _Found(NamedTuple):
    """Ranked moments of Q queries: rows of the domain's videos, seconds, scores; (Q, K) each."""

    video: np.ndarray
    start: np.ndarray
    end: np.ndarray
    score: np.ndarray


class _Role(NamedTuple):
    """What one training domain gives: n examples and how its clips are scaled."""

    scale: Scale
    clips: np.ndarray  # (n, F) standardised means
    queries: np.ndarray  # (n, E)
    seconds: np.ndarray  # lengths of the labelled moments; empty without labels


def match_moments(config: Config, domain: Domain) -> list[np.ndarray] | None:
    """Q arrays (K, 3) of start s, end s, score in each query's video; None: nothing to learn.

    With `metric.didemo` all of DiDeMo's moments are ranked, none suppressed.
    """
    kept = _kept(config, domain, {"moments": _in_given_videos})
    if kept is None:
        return None
    found = kept["moments"]
    rows = np.stack((found.start, found.end, found.score), axis=-1)
    return [moments[~np.isneginf(moments[:, 2])] for moments in rows]


def match_corpus(config: Config, corpus: Domain) -> dict[str, np.ndarray] | None:
    """Rows (Q, K, 4) of video, start s, end s, score for VR, SVMR and VCMR; None as above.

    A video is ranked by its best window.
    """
    kept = _kept(config, corpus, {"corpus": _in_all_videos, "moments": _in_given_videos})
    if kept is None:
        return None
    moments, given = kept["corpus"], kept["moments"]
    rows = np.stack(moments, axis=-1)
    first = np.array([_first_of_each(video) for video in moments.video])
    return {
        "VR": np.where(first[..., None], rows, np.nan),
        "SVMR": np.stack(given, axis=-1),
        "VCMR": rows[:, :MOST],
    }


def _first_of_each(video: np.ndarray) -> np.ndarray:
    """True where a video (K,) stands for the first time."""
    first = np.zeros(len(video), bool)
    first[np.unique(video, return_index=True)[1]] = True
    return first


def _kept(
    config: Config, domain: Domain, finders: Mapping[str, Callable[..., _Found]]
) -> dict[str, _Found] | None:
    """What each finder finds, kept beside the prepared data where they can be written to."""
    roles = {role: config[role].to_dict() for role in models.of(config).domains(config)}
    try:
        datasets = {role: _open(config, role) for role in roles}
    except FileNotFoundError:
        return None  # a checkpoint is evaluated where the data that it was trained on are not
    told = {
        "version": _VERSION,
        "roles": roles,
        "text": config.text.to_dict() if "text" in config else None,
        "data": {role: dataset.fingerprint for role, dataset in datasets.items()},
        "queries": [domain.dataset.fingerprint, *domain.table.query_id],
        "videos": domain.video_row.tolist(),
        "asked": domain.table.sentence,
        "didemo": bool(config.metric.didemo),
    }
    key = hashlib.sha256(json.dumps(told, default=list).encode()).hexdigest()[:32]
    folder = Path(config.data_dir) / domain.dataset.name / "linear_match"
    paths = {kind: folder / f"{key}-{kind}.npy" for kind in finders}
    with suppress(ValueError, TypeError, OSError, EOFError):  # not there, or damaged: made again
        return {kind: _Found(*np.load(path)) for kind, path in paths.items()}
    fitted = _fit(config, domain, datasets)
    if fitted is None:
        return None
    native = domain._replace(
        sampling=_NATIVE["clip_sampling"],
        spec=domain.spec._replace(max_clips=_NATIVE["max_clips"]),
    )
    found = {kind: find(config, native, *fitted) for kind, find in finders.items()}
    if not jax.process_index():
        with suppress(OSError):  # without a cache
            folder.mkdir(exist_ok=True)
            for kind, path in paths.items():
                with whole_path(path) as draft, draft.open("wb") as file:
                    np.save(file, np.stack(found[kind]))
    return found


def _open(config: Config, role: str):
    """The dataset of a role; its files were compared with their checksums when it was trained."""
    return open_dataset(config[role], config.data_dir, verify=False)


def _fit(config: Config, domain: Domain, datasets: dict) -> tuple[LinearMatch, np.ndarray] | None:
    """The ridge, and the lengths of windows in seconds (empty: SHARES of the duration)."""
    roles = []
    for role, dataset in datasets.items():
        settings = config[role]
        if settings.train_split not in dataset.splits:
            continue
        native = Config(settings.to_dict() | _NATIVE)
        trained = make_domain(dataset, settings.train_split, native, None, config.get("text"))
        if _widths(trained) == _widths(domain):
            roles.append(_examples(trained))
    if not roles:
        return None
    queries = np.concatenate([role.queries for role in roles])
    clips = np.concatenate([role.clips for role in roles])
    fitted = fit(roles[-1].scale, clips, queries)
    seconds = np.concatenate([role.seconds for role in roles])
    return fitted, np.quantile(seconds, QUANTILES) if len(seconds) else seconds


def _widths(domain: Domain) -> tuple[int, int, int]:
    return domain.spec.video_dim, domain.spec.sub_dim, domain.spec.word_dim


def _examples(domain: Domain) -> _Role:
    """The mean clip of each training query's moment, or video, with the query's vector."""
    query, moment, span = _marked(domain)
    video = domain.pairs.video[query]
    root = all((clips >= 0).all() for _, clips in _videos(domain, _SAMPLE))
    labelled = (span >= 0).all()
    means = np.zeros((len(video), domain.spec.video_dim + domain.spec.sub_dim))
    rows, sums, squares = 0, np.zeros(means.shape[1]), np.zeros(means.shape[1])
    for row, clips in _videos(domain):
        clips = np.sqrt(np.maximum(clips, 0)) if root else clips
        rows, sums, squares = rows + len(clips), sums + clips.sum(0), squares + (clips**2).sum(0)
        own = np.flatnonzero(video == row)
        spans = span[own] + (0, 1) if labelled else np.tile((0, len(clips)), (len(own), 1))
        means[own] = window_means(clips, spans)
    mean = sums / rows
    deviation = np.sqrt(np.maximum(squares / rows - mean**2, 0))
    scale = make_scale(mean, deviation, root=root)
    lengths = (moment[:, 1] - moment[:, 0]).astype(np.float64)
    return _Role(
        scale=scale,
        clips=(means - scale.mean) / scale.deviation,
        queries=_query_vectors(domain)[query],
        seconds=lengths if labelled else lengths[:0],
    )


def _marked(domain: Domain) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The training examples: rows of the queries, moments (n, 2) s, spans (n, 2) of clips.

    A query has one, or where training learns them all, its moments.
    """
    pairs = domain.pairs
    if pairs.moments is None:
        return np.arange(len(pairs.video)), pairs.moment, pairs.span
    query, place = np.nonzero(~np.isnan(pairs.moments[..., 0]))
    moment, video = pairs.moments[query, place], pairs.video[query]
    return query, moment, moment_to_span(moment, pairs.duration[video], pairs.num_clips[video])


def _videos(domain: Domain, most: int | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """Each video's row and its clips (N, F) float64, subtitles beside the features."""
    for row in range(len(domain.video_row))[:most]:
        parts = [domain.features(row)]
        if domain.dataset.subtitles is not None:
            parts.append(domain.subtitles(row))
        yield row, np.concatenate(parts, axis=1).astype(np.float64)


def _query_vectors(domain: Domain) -> np.ndarray:
    """The mean vector (Q, E) of each query's words; random vectors stand for token ids."""
    pairs = domain.pairs
    vectors = pairs.vectors
    if vectors is None:
        vectors = np.random.default_rng(0).normal(size=(int(pairs.words.max()) + 1, _TOKEN_WIDTH))
    real = np.arange(pairs.words.shape[1]) < pairs.num_words[:, None]
    total = np.zeros((len(pairs.words), vectors.shape[1]))
    for column in range(pairs.words.shape[1]):
        total += np.where(real[:, column, None], vectors[pairs.words[:, column]], 0)
    return total / np.maximum(pairs.num_words, 1)[:, None]


def _spans(config: Config, clips: int, duration: float, seconds: np.ndarray) -> np.ndarray:
    """The windows (W, 2) of a video; all of DiDeMo's moments where its metric is asked for."""
    if config.metric.didemo:
        return windows(clips, range(1, clips + 1))
    share = seconds / duration if len(seconds) else np.array(SHARES)
    return windows(clips, np.round(share * clips).astype(int))


def _in_given_videos(
    config: Config, domain: Domain, fitted: LinearMatch, seconds: np.ndarray
) -> _Found:
    """The best windows in each query's own video."""
    pairs, queries = domain.pairs, unit(fitted.queries(_query_vectors(domain)))
    k, nms = (len(didemo.MOMENTS), 1.0) if config.metric.didemo else (_RANKED, NMS)
    found = _Found(*(np.full((len(queries), k), fill) for fill in (0.0, 0.0, 0.0, -np.inf)))
    for row, clips in _videos(domain):
        own = np.flatnonzero(pairs.video == row)
        spans = _spans(config, len(clips), pairs.duration[row], seconds)
        scores = queries[own] @ unit(window_means(fitted.map_clips(clips), spans)).T
        which, best = best_windows(scores, spans, k, nms)
        times = spans[which] * (pairs.duration[row] / len(clips))
        for place, value in zip(found, (row, times[..., 0], times[..., 1], best), strict=True):
            place[own] = value
    return found


def _in_all_videos(
    config: Config, domain: Domain, fitted: LinearMatch, seconds: np.ndarray
) -> _Found:
    """The best windows of all videos for each query."""
    pairs, queries = domain.pairs, unit(fitted.queries(_query_vectors(domain)))
    most = MOST * _PER_VIDEO
    found = _Found(*(np.full((len(queries), most), fill) for fill in (-1.0, 0.0, 0.0, -np.inf)))
    for row, clips in _videos(domain):
        spans = _spans(config, len(clips), pairs.duration[row], seconds)
        scores = queries @ unit(window_means(fitted.map_clips(clips), spans)).T
        which, best = best_windows(scores, spans, _PER_VIDEO, NMS)
        times = spans[which] * (pairs.duration[row] / len(clips))
        new = (np.full(best.shape, float(row)), times[..., 0], times[..., 1], best)
        joined = [np.concatenate(parts, axis=1) for parts in zip(found, new, strict=True)]
        order = np.argpartition(-joined[-1], most - 1, axis=1)[:, :most]
        found = _Found(*(np.take_along_axis(part, order, axis=1) for part in joined))
    order = np.argsort(-found.score, axis=1, kind="stable")
    return _Found(*(np.take_along_axis(part, order, axis=1) for part in found))
