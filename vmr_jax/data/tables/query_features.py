"""Features of the tokens of queries on disk, as a text encoder of one's own leaves them.

    DATA_DIR/<dataset>/queries-<name>/  rows.npy, offsets.npy, report.json

rows.npy (1 + all tokens, E) float16 has the tokens of all queries, split after split in the order
of the table of queries, after a first row of zeros; the tokens of query q are the rows
offsets[q] ... offsets[q + 1] - 1. It is memory-mapped where it is read.
"""

import hashlib
import io
import os
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Annotations
from vmr_jax.data.sources.features import FeatureSource, as_float16
from vmr_jax.data.tables.atomic_write import OtherContentError, check_name, put_in_place
from vmr_jax.data.tables.store import find_report, read_array, read_report, write_report
from vmr_jax.locks import locked
from vmr_jax.progress import Progress, quiet


class QueryFeatures(NamedTuple):
    """The token features of all queries of a dataset."""

    rows: np.ndarray  # (1 + tokens, E) float16, memory-mapped; row 0 is zero
    spans: dict[str, np.ndarray]  # split -> (queries, 2) int32: first row, number of tokens
    fingerprint: str


def write_query_features(
    data_dir: str | Path,
    annotations: Annotations,
    features: FeatureSource,
    name: str,
    *,
    overwrite: bool = False,
    progress: Progress = quiet,
) -> dict:
    """Write the features (L, E) of each query, by its id, beside the table of queries.

    Returns the report. Raises ValueError where queries have no features, where those of one are
    empty, of another width, not finite or beyond float16, or where features of other content are
    there and not `overwrite`.
    """
    check_name(name)
    root = Path(data_dir) / annotations.name
    ids = [record.query_id for records in annotations.splits.values() for record in records]
    missing = sorted(set(ids) - set(features.ids))
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(ids)} queries of {annotations.name} have no features, such as "
            f"{', '.join(missing[:3])}: the file needs the tokens of every query under its id"
        )
    target = root / f"queries-{name}"
    report = {
        "dataset": annotations.name,
        "queries_fingerprint": read_report(root / "moments")["queries_fingerprint"],
        "splits": {split: len(records) for split, records in annotations.splits.items()},
        "queries": len(ids),
        "unused": len(set(features.ids) - set(ids)),
    }

    def written(file: BinaryIO, label: str) -> tuple[dict, list[int]]:
        """Write the rows one query after the other; the report and each query's number of rows."""
        digest, lengths = hashlib.sha256(), []
        shape = tuple[int, ...]()
        for query in progress(ids, f"{annotations.name}: {label}", len(ids)):
            read = features.read(query)
            if not lengths:
                shape = read.shape[1:]
                file.write(_header(0, shape) + np.zeros(shape, "<f2").tobytes())
            if not len(read):
                raise ValueError(f"the features of query {query} are empty")
            tokens = as_float16(read, shape, f"query {query}")
            digest.update(f"{query}\0{tokens.shape}\0".encode() + tokens.tobytes())
            file.write(tokens.astype("<f2").tobytes())
            lengths.append(len(tokens))
        total = sum(lengths)
        file.seek(0)
        file.write(_header(1 + total, shape))
        content = {"tokens": total, "longest": max(lengths), "width": shape[0]}
        size = 2 * (1 + total) * shape[0]
        return report | content | {"bytes": size, "fingerprint": digest.hexdigest()}, lengths

    with locked(root):
        there = find_report(target, verify=True, replacing=overwrite)
        if there and not overwrite:
            with open(os.devnull, "wb") as nowhere:
                found, _ = written(nowhere, f"{target.name} is there, comparing")
            if there != found:
                raise OtherContentError(target, "queries or query features")
            return there
        with put_in_place(target, 2 * sum(map(features.size, ids))) as directory:
            # Not a memory map: a full disk ends a process that writes into one.
            with (directory / "rows.npy").open("wb") as file:
                report, lengths = written(file, f"writing {target.name}")
            np.save(directory / "offsets.npy", np.cumsum([1, *lengths]))
            write_report(directory, report)
    return report


def _header(rows: int, shape: tuple[int, ...]) -> bytes:
    """The header of a .npy of rows (rows, *shape) float16; as long for any number of rows."""
    header, content = io.BytesIO(), {"descr": "<f2", "fortran_order": False}
    np.lib.format.write_array_header_1_0(header, content | {"shape": (rows, *shape)})
    return header.getvalue()


def open_query_features(
    root: Path, name: str, queries: str, verify: bool = True
) -> QueryFeatures | None:
    """Open the features `name` of a dataset's queries; None where they are not prepared.

    Raises ValueError where they are of other queries than those with the fingerprint `queries`.
    """
    directory = root / f"queries-{name}"
    report = find_report(directory, verify=verify)
    if report is None:
        return None
    if report["queries_fingerprint"] != queries:
        raise ValueError(
            f"the query features {name!r} of {root.name} in {root.parent} are of other queries "
            "than those that are there: prepare them again, `vmr prepare ... --query-features FILE "
            f"--query-feature-name {name} --overwrite`"
        )
    offsets = read_array(directory / "offsets.npy")
    spans = np.stack([offsets[:-1], np.diff(offsets)], axis=1).astype(np.int32)
    ends = np.cumsum(list(report["splits"].values()))
    return QueryFeatures(
        rows=read_array(directory / "rows.npy", mapped=True),
        spans=dict(zip(report["splits"], np.split(spans, ends[:-1]), strict=True)),
        fingerprint=report["fingerprint"],
    )
