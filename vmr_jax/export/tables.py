"""Results as tables: CSV and JSON lines of the same columns."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vmr_jax.export.results import Result, ranked
from vmr_jax.output_files import write_whole

COLUMNS = ("query", "rank", "video", "path", "start_s", "end_s", "score")


def write_csv(out: str | Path, results: Sequence[Result]) -> None:
    """Write a row a result, below the names of COLUMNS. Raises OSError."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(row.values() for row in _rows(results))
    write_whole(out, text.getvalue())


def write_jsonl(out: str | Path, results: Sequence[Result]) -> None:
    """Write a JSON object with the keys COLUMNS a result and line. Raises OSError."""
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in _rows(results)]
    write_whole(out, "".join(lines))


def _rows(results: Sequence[Result]) -> Iterator[dict[str, Any]]:
    """Results by the names of COLUMNS, times rounded to milliseconds."""
    for rank, result in ranked(results):
        times = round(float(result.start_s), 3), round(float(result.end_s), 3)
        cells = (result.query, rank, result.video, str(result.path), *times, float(result.score))
        yield dict(zip(COLUMNS, cells, strict=True))
