"""A prepared dataset: the moments table in memory, the videos table by random access."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.tables.chunk_table import read_chunks
from vmr_jax.data.tables.missing_data import not_prepared, without_chunks, without_query_features
from vmr_jax.data.tables.query_features import open_query_features
from vmr_jax.data.tables.report import read_report
from vmr_jax.data.tables.store import read_rows
from vmr_jax.data.tables.video_table import Read, VideoTable, load_videos, patches_of, subtitles_of


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
    # (Q, 2) int32, first row of `Dataset.query_vectors` and number of tokens; None: not loaded
    tokens: np.ndarray | None = None


class Dataset(NamedTuple):
    """Everything `vmr prepare` wrote for one dataset and one kind of features."""

    name: str
    feature_name: str
    splits: dict[str, MomentTable]
    videos: VideoTable
    vocabulary: tuple[str, ...]  # word 0 is padding, word 1 is unknown
    vectors: np.ndarray  # (W, E) float32; rows 0 and 1 are zero
    fingerprint: str  # changes when the prepared content changes
    # Patches of the same frames: row of `videos` -> (num_clips, G, F) float16; None: not loaded
    patches: Read | None = None
    patch_shape: tuple[int, int] = (0, 0)  # G, F
    # Subtitles of the same clips: row of `videos` -> (num_clips, S) float16; None: not loaded
    subtitles: Read | None = None
    sub_dim: int = 0  # S
    fitted_subtitles: int = 0  # videos whose subtitles had a row more or less than the features
    query_vectors: np.ndarray | None = None  # (W, E) float16 on disk, row 0 is zero


def load_dataset(
    data_dir: str | Path,
    name: str,
    feature_name: str,
    *,
    with_chunks: bool = False,
    patch_name: str = "",
    subtitle_name: str = "",
    query_feature_name: str = "",
) -> Dataset:
    """Load what `vmr prepare` wrote; features stay on disk until they are asked for.

    `videos.features` may be called from several threads. Queries of videos without features
    (`--drop-missing`) are left out; the report of the videos table counts them. The noun chunks
    of the queries are loaded `with_chunks` only; patches, subtitles and the token features of the
    queries only where they are named.

    Raises:
        FileNotFoundError: something that is asked for is not prepared.
        ValueError: something was prepared for other queries than those that are there; or patches
            or subtitles are none, or not of the same clips as the features.
    """
    root = Path(data_dir) / name
    moments = root / "moments"
    report = read_report(moments)
    if report is None:
        raise not_prepared(root, feature_name)
    queries = report["queries_fingerprint"]
    table, of_videos = load_videos(root, feature_name, queries)
    rows = {video: row for row, video in enumerate(table.video_id)} | {"": -1}
    digests = report["fingerprint"] + of_videos
    chunks, tokens, parts = {}, {}, {}
    if with_chunks:
        found = read_chunks(root, queries)
        if found is None:
            raise without_chunks(root, feature_name)
        chunks, digest = found
        digests += digest
    if patch_name:
        grids, digest = load_videos(root, patch_name, queries)
        patches, shape = patches_of(table, grids, name, feature_name, patch_name)
        parts |= {"patches": patches, "patch_shape": shape}
        digests += digest
    if subtitle_name:
        spoken, digest = load_videos(root, subtitle_name, queries)
        subtitles, fitted = subtitles_of(table, spoken, name, feature_name, subtitle_name)
        parts |= {"subtitles": subtitles, "sub_dim": spoken.feature_dim, "fitted_subtitles": fitted}
        digests += digest
    if query_feature_name:
        of_queries = open_query_features(root, query_feature_name, queries)
        if of_queries is None:
            raise without_query_features(root, feature_name, query_feature_name)
        tokens, parts["query_vectors"] = of_queries.spans, of_queries.rows
        digests += of_queries.fingerprint
    return Dataset(
        name=name,
        feature_name=feature_name,
        splits={
            split: _load_moments(moments, split, rows, chunks.get(split), tokens.get(split))
            for split in report["splits"]
        },
        videos=table,
        vocabulary=tuple((moments / "vocabulary.txt").read_text("utf-8").splitlines()),
        vectors=np.load(moments / "vectors.npy"),
        fingerprint=hashlib.sha256(digests.encode()).hexdigest(),
        **parts,
    )


def _load_moments(
    directory: Path,
    split: str,
    rows: dict[str, int],
    chunks: list[np.ndarray] | None,
    tokens: np.ndarray | None,
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
        tokens=None if tokens is None else tokens[kept],
    )


def _text(field) -> str:
    """Decode a record's text field."""
    return field.bytes_list.value[0].decode()
