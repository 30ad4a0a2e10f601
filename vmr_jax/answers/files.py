"""Files of answers: {"qid": 1, "answer": "From 12 to 18.5 seconds."}, a query a line."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.answers.grammar import REASONS, read_answer
from vmr_jax.data.datasets.files import read_json_lines
from vmr_jax.data.datasets.records import MomentRecord
from vmr_jax.input_files import require_file
from vmr_jax.output_files import write_whole

ID_KEYS = ("qid", "query_id", "question_id", "id")
ANSWER_KEYS = ("answer", "response", "prediction", "pred", "output", "generated_text", "text")
MISSING = "missing"
REASONS_TOLD = REASONS | {MISSING: "there is no answer"}


class Unread(NamedTuple):
    """A query whose answer is a miss."""

    query_id: str
    reason: str  # a key of REASONS, or MISSING
    answer: str


def read_answer_file(path: str | Path) -> dict[str, str]:
    """Read a file of answers: query id -> text.

    A line's id is the first of ID_KEYS that it has, its answer the first of ANSWER_KEYS: a text,
    null for none, or JSON, which is read as the text that it is. Further fields are ignored.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: a line is not in the format or repeats an id (file and line named), or the file
            has no line.
    """
    path = require_file(path, "answers")
    answers: dict[str, str] = {}
    for where, line in read_json_lines(path):
        qid = line[_key(line, ID_KEYS, where)]
        if not isinstance(qid, int | str) or isinstance(qid, bool):
            raise ValueError(f"{where}: the id {qid!r} is neither a whole number nor a string")
        if str(qid) in answers:
            raise ValueError(f"{where}: the id {qid} was already given")
        answer = line[_key(line, ANSWER_KEYS, where)]
        if not isinstance(answer, str):
            answer = "" if answer is None else json.dumps(answer)
        answers[str(qid)] = answer
    if not answers:
        raise ValueError(f"{path} holds no answers")
    return answers


def _key(line: Mapping, keys: Sequence[str], where: str) -> str:
    """The first of some keys that a line has."""
    for key in keys:
        if key in line:
            return key
    raise ValueError(f"{where}: none of {', '.join(keys)} is there; found {', '.join(line)}")


def moments_of_answers(
    answers: Mapping[str, str],
    records: Sequence[MomentRecord],
    durations: Mapping[str, float],
    *,
    fps: float = 0,
    bins: float = 0,
) -> tuple[dict[str, np.ndarray], list[Unread]]:
    """Read the answers to a split's queries, and tell which cannot be read.

    The first value has, by query id, (K, 3) of start s, end s and score; moments are ranked as they
    are named, by scores 1, 1/2, 1/3 ... Ids that the split does not have keep no rows.

    Raises:
        ValueError: a rate or a number of bins is not positive, or both are given.
    """
    if fps and bins:
        raise ValueError("a plain number is a frame (--fps) or a bin (--bins), not both")
    if min(fps, bins) < 0 or not math.isfinite(fps + bins):
        raise ValueError(f"--fps {fps:g} and --bins {bins:g} must be positive")
    found, unread = {qid: np.zeros((0, 3)) for qid in answers}, []
    for record in records:
        qid, text = record.query_id, answers.get(record.query_id)
        if text is None:
            unread.append(Unread(qid, MISSING, ""))
            continue
        duration = durations.get(record.video_id, math.nan)
        moments, reason = read_answer(text, duration, fps=fps, bins=bins)
        if reason:
            unread.append(Unread(qid, reason, text))
        else:
            found[qid] = np.array([(*moment, 1 / rank) for rank, moment in enumerate(moments, 1)])
    return found, unread


def count_reasons(unread: Sequence[Unread]) -> dict[str, int]:
    """How many answers are not read, by reason, most first."""
    return dict(Counter(one.reason for one in unread).most_common())


def told(unread: Sequence[Unread], queries: int) -> list[str]:
    """Lines that say how many answers of a split are not read, by reason, most first."""
    counts = count_reasons(unread)
    lines = [f"  {count}: {REASONS_TOLD[reason]}" for reason, count in counts.items()]
    head = f"{len(unread)} of {queries} answers are not read, and are misses"
    return [f"{head}:", *lines] if lines else [f"all {queries} answers are read"]


def write_unread(path: str | Path, unread: Sequence[Unread]) -> None:
    """Write each unread answer with its reason, a line of JSON each."""
    lines = ({"qid": one.query_id, "reason": one.reason, "answer": one.answer} for one in unread)
    write_whole(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
