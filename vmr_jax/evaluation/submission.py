"""TVR's submission format, one JSON object, which the official evaluators read.

{"video2idx": {video id: index, ...}, "VCMR": [{"desc_id": 1, "desc": "...", "predictions":
[[video index, start s, end s, score], ...]}, ...], "SVMR": [...], "VR": [...]}. Predictions are
listed best first. Source: jayleicn/TVRetrieval, standalone_eval/README.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from vmr_jax.evaluation.predictions import file_id
from vmr_jax.input_files import require_file
from vmr_jax.metrics.moments import PerQuery
from vmr_jax.metrics.retrieval import MOST, TASKS, rank_rows
from vmr_jax.output_files import whole_file

if TYPE_CHECKING:  # it imports JAX, which a score of files does without
    from vmr_jax.types import Moments

_VIDEOS = "video2idx"
_START = re.compile(rf'\s*\{{\s*"({"|".join((_VIDEOS, *TASKS))})"\s*:'.encode())


class Submission(NamedTuple):
    """A submission file: its videos' indices, and the predictions of its tasks.

    A task maps query ids to (K, 4) float64 of video index, start s, end s, score, as listed.
    """

    video_index: dict[str, int]
    tasks: dict[str, dict[str, np.ndarray]]


def write_submission(
    path: str | Path,
    video_ids: Sequence[str],
    query_ids: Sequence[str],
    sentences: Sequence[str],
    tasks: Mapping[str, Moments | PerQuery],
) -> None:
    """Write the first MOST predictions of Q queries for some of TASKS.

    `video_ids` are those of the corpus, row by row; `tasks` maps a task to predictions as
    `rank_rows` takes them, with these rows as videos. For VR start and end are usually 0. Rows
    with the score -inf or the video -1 are padding and are left out. An id that is a decimal
    number is written as a number, because the official evaluator compares it with its labels.

    Raises ValueError for an unknown task, a video id that comes twice, lists of another length
    than Q, and a row beyond the corpus.
    """
    if len(set(video_ids)) < len(video_ids):
        raise ValueError(f"{len(video_ids) - len(set(video_ids))} video ids come twice")
    if len(sentences) != len(query_ids):
        raise ValueError(f"{len(sentences)} sentences for {len(query_ids)} queries")
    entries = {task: _rows_to_write(task, tasks[task], video_ids, query_ids) for task in tasks}
    with whole_file(path) as file:
        file.write(f'{{"{_VIDEOS}": ')
        file.write(json.dumps({video: row for row, video in enumerate(video_ids)}))
        for task, lists in entries.items():
            file.write(f',\n"{task}": [')
            for place, (qid, sentence, rows) in enumerate(
                zip(query_ids, sentences, lists, strict=True)
            ):
                predictions = [[int(row[0]), *row[1:]] for row in rows.tolist()]
                entry = {"desc_id": file_id(qid), "desc": sentence, "predictions": predictions}
                file.write((",\n" if place else "\n") + json.dumps(entry))
            file.write("]")
        file.write("}\n")


def _rows_to_write(
    task: str,
    predictions: Moments | PerQuery,
    video_ids: Sequence[str],
    query_ids: Sequence[str],
) -> list[np.ndarray]:
    """The predictions (K, 4) of each query without padding, K at most MOST."""
    if task not in TASKS:
        raise ValueError(f"unknown task {task!r}; known are {', '.join(TASKS)}")
    ranked = rank_rows(predictions)
    if len(ranked) != len(query_ids):
        raise ValueError(f"{len(ranked)} prediction lists of {task} for {len(query_ids)} queries")
    real = (ranked[..., 0] >= 0) & ~np.isneginf(ranked[..., 3])
    beyond = np.argwhere(real & (ranked[..., 0] >= len(video_ids)))
    if len(beyond):
        query, place = beyond[0]
        raise ValueError(
            f"{task} of query {query_ids[query]} names the video {ranked[query, place, 0]:g}, but "
            f"the corpus has {len(video_ids)}"
        )
    return [rows[kept][:MOST] for rows, kept in zip(ranked, real, strict=True)]


def is_submission(path: str | Path) -> bool:
    """Tell by its first key whether a file is a submission."""
    path = Path(path)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return _START.match(file.read(1024).removeprefix(b"\xef\xbb\xbf")) is not None


def read_submission(path: str | Path) -> Submission:
    """Read and check a submission file. Fields that the format does not know are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is not in the format, an index stands for two videos, a prediction
            names a video that is not in "video2idx", or a query comes twice in a task.
    """
    path = require_file(path, "predictions")
    try:
        found = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or of lists in lists
        raise ValueError(f"{path}: not valid JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path}: expected one JSON object")
    index = _read_videos(found.get(_VIDEOS), path)
    known = set(index.values())
    tasks = {
        task: _read_task(found[task], known, f"{path}: {task}") for task in found.keys() & TASKS
    }
    if not tasks:
        raise ValueError(f"{path}: none of {', '.join(TASKS)}; found {', '.join(found)}")
    return Submission(index, {task: tasks[task] for task in TASKS if task in tasks})


def _read_videos(value: Any, path: Path) -> dict[str, int]:
    """Check the index of the videos: each has one of its own."""
    if not isinstance(value, dict) or not value:
        raise ValueError(f'{path}: "{_VIDEOS}" must map video ids to indices')
    owner: dict[int, str] = {}
    for video, index in value.items():
        if not isinstance(index, int) or isinstance(index, bool) or index < 0:
            raise ValueError(
                f"{path}: {_VIDEOS}: the index of {video} is {json.dumps(index)[:60]}; it must be "
                "a whole number from 0"
            )
        if index in owner:
            raise ValueError(
                f"{path}: {_VIDEOS}: {owner[index]} and {video} have the same index {index}"
            )
        owner[index] = video
    return value


def _read_task(value: Any, known: set[int], where: str) -> dict[str, np.ndarray]:
    """The predictions (K, 4) of each query of a task; `known` are the videos' indices."""
    if not isinstance(value, list):
        raise ValueError(f"{where}: expected a list of queries")
    task: dict[str, np.ndarray] = {}
    for place, entry in enumerate(value):
        if not isinstance(entry, dict) or not {"desc_id", "predictions"} <= entry.keys():
            raise ValueError(f'{where}, entry {place}: needs "desc_id" and "predictions"')
        qid = entry["desc_id"]
        if not isinstance(qid, int | str) or isinstance(qid, bool):
            raise ValueError(
                f"{where}, entry {place}: desc_id {json.dumps(qid)[:60]} is neither a whole "
                "number nor a string"
            )
        if str(qid) in task:
            raise ValueError(f"{where}, entry {place}: desc_id {qid} was already given")
        rows = _read_rows(entry["predictions"], f"{where}, desc_id {qid}")
        strange = set(rows[:, 0].tolist()) - known
        if strange:
            raise ValueError(
                f'{where}, desc_id {qid}: "{_VIDEOS}" has no video with the index {min(strange):g}'
            )
        task[str(qid)] = rows
    return task


def _read_rows(value: Any, where: str) -> np.ndarray:
    """A query's predictions (K, 4)."""
    if not isinstance(value, list):
        raise ValueError(f'{where}: "predictions" is not a list')
    if not _are_rows(value):
        wrong = next(row for row in value if not _are_rows([row]))
        raise ValueError(
            f"{where}: expected [video index, start, end, score] in numbers, found "
            f"{json.dumps(wrong)[:60]}"
        )
    try:
        return np.array(value, np.float64).reshape(-1, 4)
    except OverflowError as error:
        raise ValueError(f"{where}: a number is too large") from error


def _are_rows(value: list) -> bool:
    """Tell whether a JSON list holds lists of four numbers; a file has millions."""
    return (
        set(map(type, value)) <= {list}
        and set(map(len, value)) <= {4}
        and set(map(type, chain.from_iterable(value))) <= {int, float}
    )
