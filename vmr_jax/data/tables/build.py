"""Write a dataset to disk as two TFDS tables, each built aside and put in place by a rename.

    DATA_DIR/<dataset>/moments/          one record a query; vocabulary.txt, vectors.npy
    DATA_DIR/<dataset>/videos-<feature>/ one record a video; videos.json (id, duration, clips),
                                         statistics.npy of the training split, see statistics.py

Both hold a report.json: what was read, repaired and dropped, and a fingerprint of the content.
The queries are stored once, whatever kinds of features there are.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.data.datasets.faults import count_splits, refuse_faults, summarise
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import FeatureSource, as_float16
from vmr_jax.data.sources.names import describe_missing, match_names
from vmr_jax.data.tables.atomic_write import OtherContentError, check_name, put_in_place
from vmr_jax.data.tables.statistics import RunningStatistics, training_videos
from vmr_jax.data.tables.store import CORPUS, find_report, write_json, write_report, write_table
from vmr_jax.data.text.vocabulary import PADDING, Vocabulary, build_vocabulary, tokenize
from vmr_jax.locks import locked
from vmr_jax.progress import Progress, quiet

_MADE_BY = ("encoder", "weights", "fps", "clip_seconds")


def write_dataset(
    data_dir: str | Path,
    annotations: Annotations,
    features: FeatureSource,
    feature_name: str,
    vectors: Mapping[str, np.ndarray] | None,
    *,
    overwrite: bool = False,
    drop_missing: bool = False,
    accept: Callable[[], None] = lambda: None,
    progress: Progress = quiet,
) -> dict:
    """Write the tables of one dataset and one kind of features; what is there already is kept.

    The features of a video are read once.

    Args:
        data_dir: receives <annotations.name>/.
        features: native length, any float kind; float16 on disk. Patches (N, G, F) are one more
            kind of features.
        feature_name: names this kind of features, such as "i3d".
        vectors: word -> (E,) vector. None: the vocabulary that is there is kept, or, in a first
            build, every word is unknown and E is 0.
        overwrite: write the tables again, whatever is there.
        drop_missing: leave videos without features out; their queries are counted, and
            `load_dataset` leaves them out.
        accept: called when all features have been read and nothing is in its place yet; what it
            raises ends the writing.
        progress: shows how far the writing is.

    Returns:
        {"moments": report, "videos": report}, the contents of the two report.json.

    Raises:
        FullDiskError: there is no space for a table.
        ValueError: an annotation is at fault beyond repair; a video has no features; features
            are empty, of unequal width, not finite or beyond float16; or a table with other
            content is there.
    """
    check_name(annotations.name)
    check_name(feature_name)
    refuse_faults(annotations)
    root = Path(data_dir) / annotations.name
    vocabulary = build_vocabulary(_sentences(annotations), vectors or {})
    report = _report_moments(annotations, vocabulary)
    with locked(root):
        there = _moments_there(root / "moments", report, vectors is None, overwrite)
        videos = _write_videos(
            root / f"videos-{feature_name}",
            annotations,
            features,
            queries=report["queries_fingerprint"],
            overwrite=overwrite,
            drop_missing=drop_missing,
            accept=accept,
            progress=progress,
        )
        if not there:
            _write_moments(root / "moments", annotations, vocabulary, report, progress)
    return {"moments": there or report, "videos": videos}


def _hash_video(digest, video: str, duration: float, clips: np.ndarray) -> None:
    """Add a video, as it is stored, to a hashlib digest."""
    digest.update(f"{video}\0{float(duration)}\0{clips.shape}\0".encode())
    digest.update(clips.tobytes())


def _sentences(annotations: Annotations) -> list[str]:
    return [record.sentence for split in annotations.splits.values() for record in split]


def _report_moments(annotations: Annotations, vocabulary: Vocabulary) -> dict:
    """The report of a table of queries with its vocabulary."""
    queries = _fingerprint_queries(annotations)
    words = hashlib.sha256("\n".join(vocabulary.words).encode() + vocabulary.vectors.tobytes())
    return {
        "dataset": annotations.name,
        "fingerprint": hashlib.sha256((queries + words.hexdigest()).encode()).hexdigest(),
        "queries_fingerprint": queries,
        "splits": count_splits(annotations),
        "faults": summarise(annotations.faults),
        "vocabulary": {
            "words": len(vocabulary.words) - 2,
            "width": vocabulary.vectors.shape[1],
            "coverage": vocabulary.coverage,
            "unknown": dict(vocabulary.unknown.most_common()),
        },
    }


def _moments_there(target: Path, report: dict, any_words: bool, overwrite: bool) -> dict | None:
    """The report of the table of queries that is there and is kept; None where it is to be written.

    With `any_words` the vocabulary that is there is kept. Raises OtherContentError.
    """
    there = find_report(target, verify=True, replacing=overwrite)
    same_queries = bool(there) and there["queries_fingerprint"] == report["queries_fingerprint"]
    if any_words and same_queries:
        return there
    if not there or overwrite:
        return None
    if there["fingerprint"] != report["fingerprint"]:
        raise OtherContentError(target, "word vectors" if same_queries else "queries")
    return there


def _write_moments(
    target: Path,
    annotations: Annotations,
    vocabulary: Vocabulary,
    report: dict,
    progress: Progress,
) -> None:
    """Write the table of queries with its vocabulary."""
    import tensorflow_datasets as tfds

    tensor, text = tfds.features.Tensor, tfds.features.Text()
    schema = {
        "query_id": text,
        "video_id": text,
        "sentence": text,
        "words": tensor(shape=(None,), dtype=np.int32),
        "moments": tensor(shape=(None, 2), dtype=np.float64, encoding="bytes"),  # exact
    }
    records = [record for split in annotations.splits.values() for record in split]
    if any(record.saliency is not None for record in records):
        schema["saliency"] = tensor(shape=(None,), dtype=np.float32, encoding="bytes")
        schema["annotators"] = np.int32  # of each clip's saliency
    size = vocabulary.vectors.nbytes + sum(map(len, _sentences(annotations)))
    with put_in_place(target, size) as directory:
        splits = {
            split: progress(
                _queries(records, vocabulary, with_saliency="saliency" in schema),
                f"{annotations.name}: writing {split} queries",
                len(records),
            )
            for split, records in annotations.splits.items()
        }
        write_table(directory, "moments", schema, splits)
        (directory / "vocabulary.txt").write_text("\n".join(vocabulary.words) + "\n", "utf-8")
        np.save(directory / "vectors.npy", vocabulary.vectors)
        if annotations.subtitles:
            lines = (
                json.dumps({"vid_name": video, "sub": lines}) + "\n"
                for video, lines in annotations.subtitles.items()
            )
            (directory / "subtitles.jsonl").write_text("".join(lines), "utf-8")
        write_report(directory, report)


def _queries(
    records: list[MomentRecord], vocabulary: Vocabulary, *, with_saliency: bool
) -> Iterator[dict]:
    """Yield queries as they are stored; a sentence without words is one unknown word."""
    row = {word: index for index, word in enumerate(vocabulary.words) if word != PADDING}
    for record in records:
        words = [row.get(token, 1) for token in tokenize(record.sentence)] or [1]
        stored = {
            "query_id": record.query_id,
            "video_id": record.video_id,
            "sentence": record.sentence,
            "words": np.array(words, np.int32),
            "moments": record.moments.astype(np.float64),
        }
        if with_saliency:
            rated = np.zeros((0, 1)) if record.saliency is None else record.saliency
            stored["saliency"] = rated.astype(np.float32).ravel()
            stored["annotators"] = rated.shape[1]
        yield stored


def _fingerprint_queries(annotations: Annotations) -> str:
    """Hash everything that a moments table holds, but for the vocabulary."""
    digest = hashlib.sha256()
    for split, records in annotations.splits.items():
        for record in records:
            line = (split, record.query_id, record.video_id, record.sentence)
            digest.update("\0".join(line).encode() + record.moments.astype(np.float64).tobytes())
            if record.saliency is not None:
                digest.update(record.saliency.astype(np.float32).tobytes())
    digest.update(json.dumps(annotations.subtitles, sort_keys=True).encode())
    return digest.hexdigest()


def _write_videos(
    target: Path,
    annotations: Annotations,
    features: FeatureSource,
    *,
    queries: str,
    overwrite: bool,
    drop_missing: bool,
    accept: Callable[[], None],
    progress: Progress,
) -> dict:
    """Write the table of videos, unless it is there.

    Its report keeps `queries`, the fingerprint of the queries it belongs to; where only that
    differs, the report and the statistics of the training split alone are written again. Patches,
    which are not normalised, have no statistics.
    """
    names = _names_of_features(annotations, features, drop_missing)
    missing = sorted(set(annotations.durations) - set(names))
    videos = sorted(names)
    arrays = (features.read(names[video]) for video in videos)
    first = next(arrays)
    shape = first.shape[1:]
    digest, index = hashlib.sha256(), []
    statistics = RunningStatistics(training_videos(annotations) if len(shape) == 1 else ())

    def records(label: str) -> Iterator[dict]:
        """Yield the videos' records, and note, hash and count them."""
        read = zip(videos, chain([first], arrays), strict=True)
        for video, array in progress(read, f"{annotations.name}: writing {label}", len(videos)):
            clips = as_float16(array, shape, video)
            duration = annotations.durations[video]
            index.append((video, duration, len(clips)))
            _hash_video(digest, video, duration, clips)
            statistics.add(video, clips)
            yield {"video_id": video, "duration": duration, "features": clips}

    of_queries = {
        "queries_fingerprint": queries,
        "missing": missing,
        "queries_without_video": {
            split: sum(record.video_id in missing for record in of_split)
            for split, of_split in annotations.splits.items()
        },
    }
    there = find_report(target, verify=True, replacing=overwrite)
    if there and not overwrite:
        for _ in records(f"{target.name} is there, comparing"):
            pass
        accept()
        return _keep_videos(target, there, digest.hexdigest(), of_queries, statistics)
    size = 2 * sum(features.size(name) for name in names.values())
    with put_in_place(target, size) as directory:
        write_table(directory, "videos", _video_schema(shape), {CORPUS: records(target.name)})
        accept()
        ids, durations, lengths = zip(*index, strict=True)
        columns = {"video_id": ids, "duration": durations, "num_clips": lengths}
        write_json(directory / "videos.json", columns)
        statistics.write(directory)
        report = {
            "dataset": annotations.name,
            "fingerprint": digest.hexdigest(),
            "videos": len(ids),
            "width": shape[-1],
            "cells": shape[0] if len(shape) == 2 else 0,  # of the grid; 0: not patches
            "clips": sum(lengths),
            "bytes": 2 * int(np.prod(shape)) * sum(lengths),
            "unused": len(set(features.ids) - set(names.values())),
            "faults": summarise(list(features.faults)),
            "made_by": _made_by(features.attributes(names[videos[0]])),
        } | of_queries
        write_report(directory, report)
    return report


def _made_by(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What `vmr extract` made features with, of a video's attributes; empty of others' features."""
    found = {key: attributes[key] for key in _MADE_BY if key in attributes}
    plain = {key: value.item() if hasattr(value, "item") else value for key, value in found.items()}
    return plain if "encoder" in plain else {}


def _names_of_features(
    annotations: Annotations, features: FeatureSource, drop_missing: bool
) -> dict[str, str]:
    """Find each video's features: video id -> feature id. Raises ValueError where they lack."""
    names = match_names(features.ids, annotations.durations)
    missing = sorted(set(annotations.durations) - set(names))
    if missing and not drop_missing:
        shown = describe_missing(features.ids, missing[:3]).values()
        raise ValueError(
            f"{len(missing)} of {len(annotations.durations)} videos of {annotations.name} have no "
            f"features, such as {', '.join(shown)}; --drop-missing leaves them out"
        )
    if not names:
        raise ValueError(f"no video of {annotations.name} has features")
    return names


def _keep_videos(
    target: Path, there: dict, fingerprint: str, of_queries: dict, statistics: RunningStatistics
) -> dict:
    """Keep a table of videos that is there; report and statistics follow its queries."""
    if there["fingerprint"] != fingerprint:
        raise OtherContentError(target, "features or durations")
    if there.get("queries_fingerprint") != of_queries["queries_fingerprint"]:
        there |= of_queries
        statistics.write(target)
        write_report(target, there)
    return there


def _video_schema(shape: tuple[int, ...]) -> dict:
    """The fields of a video whose features are (num_clips, *shape)."""
    import tensorflow_datasets as tfds

    return {
        "video_id": tfds.features.Text(),
        "duration": tfds.features.Tensor(shape=(), dtype=np.float64, encoding="bytes"),
        "features": tfds.features.Tensor(shape=(None, *shape), dtype=np.float16, encoding="bytes"),
    }
