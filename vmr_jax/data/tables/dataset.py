"""A prepared dataset: the moments table in memory, the videos table by random access."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.sources.subtitles import can_fit, fit_rows
from vmr_jax.data.tables.chunk_table import read_chunks
from vmr_jax.data.tables.joined_features import JOIN, join_videos
from vmr_jax.data.tables.missing_data import (
    Needed,
    not_prepared,
    other_queries,
    without_chunks,
    without_query_features,
)
from vmr_jax.data.tables.query_features import open_query_features
from vmr_jax.data.tables.statistics import read_statistics
from vmr_jax.data.tables.store import AGAIN, CORPUS, find_report, open_rows, read_array, read_rows
from vmr_jax.data.tables.video_table import Read, VideoTable
from vmr_jax.input_files import read_json


class MomentTable(NamedTuple):
    """One split's Q queries as arrays. Word ids index `Dataset.vectors`."""

    query_id: tuple[str, ...]
    sentence: tuple[str, ...]
    video: np.ndarray  # (Q,) int32 row of the videos table, -1 where the video is hidden
    words: np.ndarray  # (Q, longest query) int32, zero padded
    num_words: np.ndarray  # (Q,) int32
    moments: tuple[np.ndarray, ...]  # Q arrays (A, 2) float64 seconds
    # Q arrays (C, 2) int32, the characters [start, end) of noun chunks; None: not loaded
    chunks: tuple[np.ndarray, ...] | None = None
    # (Q, 2) int32, first row of `Dataset.query_vectors` and number of tokens; None: not loaded
    tokens: np.ndarray | None = None
    # Q arrays (C, A) float32, what A annotators say of each of C clips of 2 s, C = 0 where they do
    # not; None: nobody does
    saliency: tuple[np.ndarray, ...] | None = None


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
    reads_words: bool = True,
    verify: bool = True,
) -> Dataset:
    """Load what `vmr prepare` wrote; features stay on disk until they are asked for.

    Several kinds of features are joined by a "+", "slowfast+clip". `videos.features` may be called
    from several threads. Queries of videos without features (`--drop-missing`) are left out; the
    report of the videos table counts them. The noun chunks
    of the queries are loaded `with_chunks` only; patches, subtitles and the token features of the
    queries only where they are named. What is missing is told with the command that prepares it,
    with word vectors if the run `reads_words`. Unless `verify` is False, which saves reading them
    once, the SHA-256 of all files is compared with that of what was written.

    Raises:
        FileNotFoundError: something that is asked for is not prepared.
        ValueError: a file is damaged, or of an older version.
        ValueError: something was prepared for other queries than those that are there; or patches
            or subtitles are none, or not of the same clips as the features.
    """
    root = Path(data_dir) / name
    moments = root / "moments"
    needed = Needed(
        feature_name, reads_words, with_chunks, patch_name, subtitle_name, query_feature_name
    )
    report = find_report(moments, verify=verify)
    if report is None:
        raise not_prepared(root, feature_name, needed)
    queries = report["queries_fingerprint"]
    table, of_videos = _load_kinds(root, feature_name, queries, needed, verify)
    rows = {video: row for row, video in enumerate(table.video_id)} | {"": -1}
    digests = report["fingerprint"] + of_videos
    chunks, tokens, parts = {}, {}, {}
    if with_chunks:
        found = read_chunks(root, queries, verify)
        if found is None:
            raise without_chunks(root, needed)
        chunks, digest = found
        digests += digest
    if patch_name:
        grids, digest = _load_videos(root, patch_name, queries, needed, verify)
        patches, shape = _patches_of(table, grids, name, feature_name, patch_name)
        parts |= {"patches": patches, "patch_shape": shape}
        digests += digest
    if subtitle_name:
        spoken, digest = _load_videos(root, subtitle_name, queries, needed, verify)
        subtitles, fitted = _subtitles_of(table, spoken, name, feature_name, subtitle_name)
        parts |= {"subtitles": subtitles, "sub_dim": spoken.feature_dim, "fitted_subtitles": fitted}
        digests += digest
    if query_feature_name:
        of_queries = open_query_features(root, query_feature_name, queries, verify)
        if of_queries is None:
            raise without_query_features(root, needed)
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
        vectors=read_array(moments / "vectors.npy"),
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
    saliency = []
    for index, record in enumerate(read_rows(directory, split)):
        row = rows.get(_text(record["video_id"]))
        if row is None:
            continue
        kept.append(index)
        query_id.append(_text(record["query_id"]))
        sentence.append(_text(record["sentence"]))
        video.append(row)
        words.append(record["words"].int64_list.value)
        (times,) = record["moments"].bytes_list.value
        moments.append(np.frombuffer(times, np.float64).reshape(-1, 2))
        if "saliency" in record:
            (rated,) = record["saliency"].bytes_list.value
            (annotators,) = record["annotators"].int64_list.value
            saliency.append(np.frombuffer(rated, np.float32).reshape(-1, annotators))
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
        saliency=tuple(saliency) or None,
    )


def _text(field) -> str:
    """Decode a record's text field."""
    return field.bytes_list.value[0].decode()


def _load_kinds(
    root: Path, feature_name: str, queries: str, needed: Needed, verify: bool
) -> tuple[VideoTable, str]:
    """Open the videos with one kind of features, or with several that a "+" joins."""
    names = feature_name.split(JOIN)
    loaded = [_load_videos(root, n, queries, needed._replace(features=n), verify) for n in names]
    tables, digests = zip(*loaded, strict=True)
    if len(tables) == 1:
        return tables[0], digests[0]
    return join_videos(tables, names, root.name), "".join(digests)


def _load_videos(
    root: Path, feature_name: str, queries: str, needed: Needed, verify: bool
) -> tuple[VideoTable, str]:
    """Open a videos table, and its fingerprint; it must be of the queries that are there.

    Its columns are in memory, its features on disk. Raises FileNotFoundError where it is not
    prepared, and ValueError where it was prepared for other queries.
    """
    directory = root / f"videos-{feature_name}"
    report = find_report(directory, verify=verify)
    if report is None:
        raise not_prepared(root, feature_name, needed)
    if report["queries_fingerprint"] != queries:
        raise other_queries(root, feature_name, needed)
    width, cells = report["width"], report["cells"]
    shape = (cells, width) if cells else (width,)
    columns = read_json(directory / "videos.json", AGAIN, "video_id", "duration", "num_clips")
    read = open_rows(directory, CORPUS)

    def features(row: int) -> np.ndarray:
        """Read a video's features float16; the array is read-only."""
        (value,) = read(row)["features"].bytes_list.value
        return np.frombuffer(value, np.float16).reshape(-1, *shape)

    table = VideoTable(
        video_id=tuple(columns["video_id"]),
        duration=np.array(columns["duration"], np.float64),
        num_clips=np.array(columns["num_clips"], np.int32),
        features=features,
        feature_dim=width,
        cells=cells,
        statistics=read_statistics(directory),
        made_by=report.get("made_by", {}),
    )
    return table, report["fingerprint"]


def _patches_of(
    videos: VideoTable, grids: VideoTable, name: str, feature_name: str, patch_name: str
) -> tuple[Read, tuple[int, int]]:
    """Patches by the row of `videos`, and their shape; every video must have as many frames."""
    if not grids.cells:
        raise ValueError(
            f"features {patch_name!r} of {name} are not patches (frames, cells, width): name a "
            "kind of features that `vmr prepare --patches` wrote"
        )
    where = _rows_of(videos, grids, name, feature_name, f"patches {patch_name!r}")
    wrong = np.flatnonzero(grids.num_clips[where] != videos.num_clips)
    if len(wrong):
        first = wrong[0]
        raise ValueError(
            f"{len(wrong)} videos of {name} have another number of frames in the patches, e.g. "
            f"{videos.video_id[first]}: {grids.num_clips[where[first]]} of {patch_name!r}, "
            f"{videos.num_clips[first]} of {feature_name!r}; extract both from the same frames"
        )
    return lambda index: grids.features(int(where[index])), (grids.cells, grids.feature_dim)


def _subtitles_of(
    videos: VideoTable, spoken: VideoTable, name: str, feature_name: str, subtitle_name: str
) -> tuple[Read, int]:
    """Subtitles (num_clips, S) by the row of `videos`, and how many videos they are fitted to.

    They are fitted as `fit_rows` does. Raises ValueError where that cannot be, where a video has
    none, and where they are patches.
    """
    if spoken.cells:
        raise ValueError(
            f"features {subtitle_name!r} of {name} are patches of frames: subtitles are one vector "
            "a clip"
        )
    where = _rows_of(videos, spoken, name, feature_name, f"subtitles {subtitle_name!r}")
    rows = spoken.num_clips[where]
    wrong = np.flatnonzero(~can_fit(rows, videos.num_clips))
    if len(wrong):
        first = wrong[0]
        raise ValueError(
            f"{len(wrong)} videos of {name} have another number of clips in the subtitles, e.g. "
            f"{videos.video_id[first]}: {rows[first]} of {subtitle_name!r}, "
            f"{videos.num_clips[first]} of {feature_name!r}; pool both into clips of one length"
        )

    def read(index: int) -> np.ndarray:
        """Read a video's subtitles, as many rows as it has clips."""
        of_video = spoken.features(int(where[index]))
        return fit_rows(of_video, int(videos.num_clips[index]), videos.video_id[index])

    return read, int((rows != videos.num_clips).sum())


def _rows_of(
    videos: VideoTable, others: VideoTable, name: str, feature_name: str, what: str
) -> np.ndarray:
    """The row of `others` of each of the videos; every video must be there."""
    row = {video: index for index, video in enumerate(others.video_id)}
    missing = [video for video in videos.video_id if video not in row]
    if missing:
        kind = what.split(" ")[0]
        raise ValueError(
            f"{len(missing)} of {len(videos.video_id)} videos of {name} have features "
            f"{feature_name!r}, but no {what}, e.g. {', '.join(missing[:3])}: "
            f"prepare {kind} of all videos, or both kinds with --drop-missing"
        )
    return np.array([row[video] for video in videos.video_id])
