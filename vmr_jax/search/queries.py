"""Many sentences from a file, and what is said of those that cannot be asked."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from vmr_jax.data.datasets.files import field, read_json_lines
from vmr_jax.input_files import require_file


class Query(NamedTuple):
    """A line of a file of queries."""

    qid: str | int
    text: str


def read_queries(path: Path) -> list[Query]:
    """Queries of a JSONL file, {"qid": ..., "query": ...} a line; both are needed.

    Raises FileNotFoundError, and ValueError with the line that is at fault; 7 and "7" are one id.
    """
    require_file(path, "queries")
    queries = [
        Query(field(record, "qid", (str, int), where), field(record, "query", str, where))
        for where, record in read_json_lines(path)
    ]
    if not queries:
        raise ValueError(f"{path} holds no queries")
    [(qid, times)] = Counter(str(query.qid) for query in queries).most_common(1)
    if times > 1:
        raise ValueError(f"{path}: a query id comes twice: {qid}")
    return queries


def refuse_all(queries: Sequence[Query], refused: Mapping[int, str]) -> None:
    """Raise ValueError where none of the queries can be asked."""
    if len(refused) < len(queries):
        return
    if len(queries) == 1:
        raise ValueError(refused[0])
    raise ValueError(
        f"none of the {len(queries)} queries can be asked, such as {queries[0].qid!r}: {refused[0]}"
    )


def refusal(query: Query, reason: str) -> str:
    """The line that stands in the place of the table of a query that cannot be asked."""
    return f"query {query.qid!r} was not asked: {reason}"


def count_refused(queries: Sequence[Query], refused: Mapping[int, str]) -> str:
    """How many of the queries could not be asked."""
    return f"{len(refused)} of {len(queries)} queries were not asked; each has its reason above"
