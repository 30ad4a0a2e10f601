"""A prepared dataset: the moments table in memory, the videos table by random access."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.chunk_table import read_chunks
from vmr_jax.data.report import read_report
from vmr_jax.data.store import CORPUS, open_rows, read_rows


class MomentTable(NamedTuple):
    """One split's Q queries as arrays. Word ids index `Dataset.vectors`."""

    query_id: tuple[str, ...]
    sentence: tuple[str, ...]
    video: np.ndarray  # (Q,) int32 row of the videos table, -1 where the video is hidden
    words: np.ndarray  # (Q, longest query) int32, zero padded
    num_words: np.ndarray  # (Q,) int32
    moments: tuple[np.ndarray, ...]  # Q arrays (A, 2) float32 seconds
    # Q arrays (C, 2) int32, the characters [start, end) of noun chunks; None: not loaded
    chunks: tuple[np.ndarray, ...] | None = None


class VideoTable(NamedTuple):
    """The corpus of V videos."""

    video_id: tuple[str, ...]
    duration: np.ndarray  # (V,) float32 seconds
    num_clips: np.ndarray  # (V,) int32 native length
    features: Callable[[int], np.ndarray]  # row -> (num_clips, F) float16, read from disk
    feature_dim: int  # F


class Dataset(NamedTuple):
    """Everything `vmr prepare` wrote for one dataset and one kind of features."""

    name: str
    feature_name: str
    splits: dict[str, MomentTable]
    videos: VideoTable
    vocabulary: tuple[str, ...]  # word 0 is padding, word 1 is unknown
    vectors: np.ndarray  # (W, E) float32; rows 0 and 1 are zero
    fingerprint: str  # changes when the prepared content changes


def load_dataset(
    data_dir: str | Path, name: str, feature_name: str, *, with_chunks: bool = False
) -> Dataset:
    """Load what `vmr prepare` wrote; features stay on disk until they are asked for.

    `videos.features` may be called from several threads. Queries of videos without features
    (`--drop-missing`) are left out; the report of the videos table counts them. The noun chunks
    of the queries are loaded `with_chunks` only.

    Raises:
        FileNotFoundError: the dataset, this kind of features, or the noun chunks are not prepared.
        ValueError: the features, or the chunks, were prepared for other queries than those that
            are there.
    """
    root = Path(data_dir) / name
    moments, videos = root / "moments", root / f"videos-{feature_name}"
    reports = read_report(moments), read_report(videos)
    if None in reports:
        raise FileNotFoundError(_not_prepared(root, feature_name))
    # Reports of older versions do not tell which queries the videos were prepared for.
    if reports[1].get("queries_fingerprint") != reports[0]["queries_fingerprint"]:
        raise ValueError(_other_queries(root, feature_name))
    table = _load_videos(videos, reports[1]["width"])
    rows = {video: row for row, video in enumerate(table.video_id)} | {"": -1}
    digests = "".join(report["fingerprint"] for report in reports)
    chunks = {}
    if with_chunks:
        found = read_chunks(root, reports[0]["queries_fingerprint"])
        if found is None:
            raise FileNotFoundError(_without_chunks(root, feature_name))
        chunks, digest = found
        digests += digest
    return Dataset(
        name=name,
        feature_name=feature_name,
        splits={
            split: _load_moments(moments, split, rows, chunks.get(split))
            for split in reports[0]["splits"]
        },
        videos=table,
        vocabulary=tuple((moments / "vocabulary.txt").read_text("utf-8").splitlines()),
        vectors=np.load(moments / "vectors.npy"),
        fingerprint=hashlib.sha256(digests.encode()).hexdigest(),
    )


def _load_videos(directory: Path, width: int) -> VideoTable:
    """Open the videos table; its columns are in memory, its features on disk."""
    columns = json.loads((directory / "videos.json").read_text("utf-8"))
    read = open_rows(directory, CORPUS)

    def features(row: int) -> np.ndarray:
        """Read a video's features (num_clips, F) float16; the array is read-only."""
        (value,) = read(row)["features"].bytes_list.value
        return np.frombuffer(value, np.float16).reshape(-1, width)

    return VideoTable(
        video_id=tuple(columns["video_id"]),
        duration=np.array(columns["duration"], np.float32),
        num_clips=np.array(columns["num_clips"], np.int32),
        features=features,
        feature_dim=width,
    )


def _load_moments(
    directory: Path, split: str, rows: dict[str, int], chunks: list[np.ndarray] | None
) -> MomentTable:
    """Read a split's queries whose video is in `rows` (video id -> row)."""
    query_id, sentence, video, words, moments, kept = [], [], [], [], [], []
    for index, record in enumerate(read_rows(directory, split)):
        row = rows.get(_text(record["video_id"]))
        if row is None:
            continue
        kept.append(index)
        query_id.append(_text(record["query_id"]))
        sentence.append(_text(record["sentence"]))
        video.append(row)
        words.append(record["words"].int64_list.value)
        times = np.array(record["moments"].float_list.value, np.float32)
        moments.append(times.reshape(-1, 2))
    num_words = np.array([len(w) for w in words], np.int32)
    padded = np.zeros((len(words), num_words.max(initial=0)), np.int32)
    for line, ids in zip(padded, words, strict=True):
        line[: len(ids)] = ids
    return MomentTable(
        query_id=tuple(query_id),
        sentence=tuple(sentence),
        video=np.array(video, np.int32),
        words=padded,
        num_words=num_words,
        moments=tuple(moments),
        chunks=None if chunks is None else tuple(chunks[index] for index in kept),
    )


def _text(field) -> str:
    """Decode a record's text field."""
    return field.bytes_list.value[0].decode()


def _not_prepared(root: Path, feature_name: str) -> str:
    """Say which command prepares a dataset, and which kinds of features are there."""
    there = sorted(p.name.removeprefix("videos-") for p in root.glob("videos-*"))
    what_to_do = "Name those that are there, or prepare these" if there else "Prepare it"
    return (
        f"{root.name} with features {feature_name!r} is not prepared in {root.parent} "
        f"(features there: {', '.join(there) or 'none'}). {what_to_do} with\n"
        f"{_command(root, feature_name)}"
    )


def _other_queries(root: Path, feature_name: str) -> str:
    """Say which command prepares features again for the queries that are there."""
    return (
        f"features {feature_name!r} of {root.name} in {root.parent} were not prepared for the "
        "queries that are there, so that queries could be missing. Prepare them again with\n"
        f"{_command(root, feature_name)} --overwrite"
    )


def _without_chunks(root: Path, feature_name: str) -> str:
    """Say which command computes the noun chunks of queries."""
    return (
        f"the noun chunks of {root.name} in {root.parent} are not prepared. Compute them with\n"
        f"{_command(root, feature_name)} --noun-chunks spacy\n"
        "(or --noun-chunks rules, an approximation without a parser)"
    )


def _command(root: Path, feature_name: str) -> str:
    """The command that prepares a dataset; one named after a reader's is taken for its."""
    from vmr_jax.data.datasets import READERS

    reader = next((name for name in READERS if root.name.startswith(name)), "jsonl")
    name = "" if reader == root.name else f"--name {root.name} "
    return (
        f"  vmr prepare {reader} {name}--annotations DIR --features PATH "
        f"--feature-name {feature_name} --glove FILE --data-dir {root.parent}"
    )
