"""The queries of a report, with the moments that they are about where these are known."""

from pathlib import Path
from typing import NamedTuple

from vmr_jax.data.datasets.files import field, read_json_lines, window
from vmr_jax.input_files import require_file


class LabelledQuery(NamedTuple):
    """A query, and what it is about."""

    qid: str
    sentence: str
    video: str = ""  # the id of the true video; "" where it is not known
    windows: tuple[tuple[float, float], ...] = ()  # the true moments, seconds; any one counts


def read_labelled_queries(path: str | Path) -> list[LabelledQuery]:
    """Read JSON lines {"qid": ..., "query": ...}, with "vid" and "relevant_windows" where known.

    Raises FileNotFoundError, and ValueError with the line that is at fault.
    """
    queries = []
    for where, record in read_json_lines(require_file(path, "queries")):
        qid = str(field(record, "qid", (str, int), where))
        labels = record.get("relevant_windows") is not None
        windows = field(record, "relevant_windows", list, where) if labels else []
        video = str(field(record, "vid", (str, int), where)) if windows else ""
        true = tuple(window(one, where) for one in windows)
        queries.append(LabelledQuery(qid, field(record, "query", str, where), video, true))
    if not queries:
        raise ValueError(f"{path} holds no queries")
    return queries
