"""Prediction files, one JSON object a query and line, in the community's format.

{"qid": 1, "query": "...", "vid": "...", "pred_relevant_windows": [[start s, end s, score], ...],
"pred_saliency_scores": [score, ...]}

The last, a number for each clip of 2 s, may be left out.
"""

import json
import math
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vmr_jax.input_files import require_file
from vmr_jax.metrics.highlights import CLIP_SECONDS
from vmr_jax.output_files import whole_file


class Predictions(NamedTuple):
    """What a file predicts of each query, by its id."""

    windows: dict[str, np.ndarray]  # (K, 3) float64 of start s, end s, score, as listed
    saliency: dict[str, np.ndarray]  # (N,) float64, a score a clip, of the queries that have them


class Predicted(NamedTuple):
    """What a system predicts of Q queries."""

    moments: list[np.ndarray]  # (K, 3) float64 of start s, end s, score, best first
    # (C,) float64, how salient each 2 s of the video are, where the system tells
    saliency: list[np.ndarray] | None = None


def write_predictions(
    path: str | Path,
    query_ids: Sequence[str],
    queries: Sequence[str],
    video_ids: Sequence[str],
    predictions: Sequence[np.ndarray] | np.ndarray,
    saliency: Sequence[np.ndarray] | None = None,
) -> None:
    """Write Q queries: their ids, sentences, videos, and arrays (K, 3) of start s, end s, score.

    With `saliency`, Q arrays (C,), also "pred_saliency_scores", a number for each 2 s. Rows of
    score -inf are padding and are left out. An id that is a decimal number is written as a number,
    because the official tools compare ids with those of their label files.
    """
    scores = [None] * len(query_ids) if saliency is None else saliency
    of_queries = zip(query_ids, queries, video_ids, predictions, scores, strict=True)
    with whole_file(path) as file:
        for qid, query, video, rows, salient in of_queries:
            rows = np.asarray(rows, np.float64).reshape(-1, 3)
            line = {
                "qid": file_id(qid),
                "query": query,
                "vid": video,
                "pred_relevant_windows": rows[rows[:, 2] != -np.inf].tolist(),
            }
            if salient is not None:
                line["pred_saliency_scores"] = np.asarray(salient, np.float64).tolist()
            file.write(json.dumps(line) + "\n")


def per_two_seconds(saliency: np.ndarray, duration: float) -> np.ndarray:
    """The saliency of a video's equal clips (N,), -inf on padding, for each 2 s of it, (C,).

    A number is that of the clip at the centre of its 2 s. C is duration / 2, rounded up; as many as
    there are clips where these last 2 s, give or take 5 %.
    """
    clips = saliency[~np.isneginf(saliency)]
    if abs(duration / len(clips) - CLIP_SECONDS) < 0.05 * CLIP_SECONDS:
        return clips
    count = max(1, math.ceil(duration / CLIP_SECONDS))
    centre = (np.arange(count) + 0.5) * CLIP_SECONDS
    place = (centre / duration * len(clips)).astype(int)
    return clips[np.minimum(place, len(clips) - 1)]


def file_id(query_id: str) -> int | str:
    """An id as files hold it: a number if it is a decimal number, else the string."""
    return int(query_id) if query_id.isdecimal() and str(int(query_id)) == query_id else query_id


def read_predictions(path: str | Path) -> dict[str, np.ndarray]:
    """The windows of `read_prediction_file`, (K, 3) by query id. Raises as it does."""
    return read_prediction_file(path).windows


def read_prediction_file(path: str | Path) -> Predictions:
    """Read a prediction file.

    Ids may be numbers or strings; 7 and "7" are the same id. Further fields are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not in the format or repeats an id (file and line named), or the
            file has no line.
    """
    path = require_file(path, "predictions")
    found = Predictions({}, {})
    lines: dict[str, int] = {}
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            if not text.strip():
                continue
            where = f"{path}:{number}"
            qid, rows, saliency = _parse(text, where)
            if qid in lines:
                raise ValueError(f"{where}: qid {qid} was already given in line {lines[qid]}")
            lines[qid], found.windows[qid] = number, rows
            if saliency is not None:
                found.saliency[qid] = saliency
    if not lines:
        raise ValueError(f"{path} holds no predictions")
    return found


def _parse(text: bytes, where: str) -> tuple[str, np.ndarray, np.ndarray | None]:
    """The id, the windows (K, 3) and the saliency (N,) of one line."""
    try:
        line = json.loads(text)
    except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or of lists in lists
        raise ValueError(f"{where}: not valid JSON ({error})") from error
    if not isinstance(line, dict):
        raise ValueError(f"{where}: expected one JSON object a line")
    for key in ("qid", "pred_relevant_windows"):
        if key not in line:
            raise ValueError(
                f'{where}: no "{key}"; found {", ".join(line) or "nothing"}. Answers in words are '
                "scored with --format text"
            )
    qid, windows = line["qid"], line["pred_relevant_windows"]
    if not isinstance(qid, int | str) or isinstance(qid, bool):
        raise ValueError(f"{where}: qid {json.dumps(qid)} is neither a whole number nor a string")
    if not isinstance(windows, list):
        raise ValueError(f'{where}: "pred_relevant_windows" is not a list')
    if not _are_windows(windows):
        wrong = next(window for window in windows if not _are_windows([window]))
        raise ValueError(
            f"{where}: expected [start, end, score] in numbers, found {json.dumps(wrong)[:60]}"
        )
    saliency = line.get("pred_saliency_scores")
    if saliency is not None and not _is_numbers(saliency):
        raise ValueError(f'{where}: "pred_saliency_scores" is not a list of numbers, one a clip')
    try:
        scores = None if saliency is None else np.array(saliency, np.float64)
        return str(qid), np.array(windows, np.float64).reshape(-1, 3), scores
    except OverflowError as error:
        raise ValueError(f"{where}: a number in qid {qid} is too large") from error


def _are_windows(values: list) -> bool:
    """Tell whether JSON values are lists of three numbers."""
    if not set(map(type, values)) <= {list} or not set(map(len, values)) <= {3}:
        return False
    return _is_numbers(list(chain.from_iterable(values)))


def _is_numbers(value: Any) -> bool:
    """Tell whether a JSON value is a list of numbers."""
    return isinstance(value, list) and set(map(type, value)) <= {int, float}
