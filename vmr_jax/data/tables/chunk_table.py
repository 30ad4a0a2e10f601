"""The noun chunks of a dataset's queries on disk.

    DATA_DIR/<dataset>/chunks/  spans.json, report.json

spans.json has, for each split and each query of the table of queries, in its order, the character
spans [[start, end), ...] of the sentence. They are computed once, so that training needs no
parser, and apart from the table of queries, so that they can be added later.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from vmr_jax.data.datasets.records import Annotations
from vmr_jax.data.tables.atomic_write import write_part
from vmr_jax.data.tables.store import AGAIN, find_report, read_report
from vmr_jax.data.text.masking import dynamic_text, has_word, static_text
from vmr_jax.input_files import read_json

Spans = Sequence[np.ndarray]  # for each sentence (C, 2) int32


def write_chunks(
    data_dir: str | Path,
    annotations: Annotations,
    chunks: Mapping[str, Spans],
    method: str,
    *,
    overwrite: bool = False,
) -> dict:
    """Write the chunks of each split's records beside their table of queries, which is there.

    Returns the report: how many queries and chunks, and how many queries have no static or no
    dynamic words. Raises ValueError where chunks of other content are there and not `overwrite`.
    """
    root = Path(data_dir) / annotations.name
    spans = {split: [found.tolist() for found in of_split] for split, of_split in chunks.items()}
    pairs = [
        (record.sentence, found)
        for split, records in annotations.splits.items()
        for record, found in zip(records, chunks[split], strict=True)
    ]
    content = json.dumps(spans)
    report = {
        "dataset": annotations.name,
        "method": method,
        "fingerprint": hashlib.sha256(content.encode()).hexdigest(),
        "queries_fingerprint": read_report(root / "moments")["queries_fingerprint"],
        "queries": len(pairs),
        "chunks": sum(len(found) for _, found in pairs),
        "without_static": sum(not has_word(static_text(*pair)) for pair in pairs),
        "without_dynamic": sum(not has_word(dynamic_text(*pair)) for pair in pairs),
    }

    def write(directory: Path) -> None:
        (directory / "spans.json").write_text(content + "\n", "utf-8")

    what = "queries or noun chunks"
    size = len(content)
    return write_part(root / "chunks", report, what, write, size=size, overwrite=overwrite)


def read_chunks(
    root: Path, queries: str, verify: bool = True
) -> tuple[dict[str, list[np.ndarray]], str] | None:
    """Read the chunks of each split, and their fingerprint; None where there are none.

    Raises ValueError where they are of other queries than those with the fingerprint `queries`.
    """
    report = find_report(root / "chunks", verify=verify)
    if report is None:
        return None
    if report["queries_fingerprint"] != queries:
        raise ValueError(
            f"the noun chunks of {root.name} in {root.parent} are of other queries than those that "
            "are there: compute them again, `vmr prepare ... --noun-chunks spacy --overwrite`"
        )
    path = root / "chunks" / "spans.json"
    spans = read_json(path, AGAIN)
    as_array = lambda found: np.array(found, np.int32).reshape(-1, 2)  # noqa: E731
    try:
        chunks = {split: [as_array(f) for f in of_split] for split, of_split in spans.items()}
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{path} is damaged ({error}); {AGAIN}") from error
    return chunks, report["fingerprint"]
