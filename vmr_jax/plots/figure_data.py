"""What VLANet's figures show, as JSON: a system's look at a query, and a run's similarities."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from vmr_jax import models
from vmr_jax.data.batches.data_paths import read_batch
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.plots.queries import Run, about, rows_of, words_of
from vmr_jax.training.checkpoint import Checkpoints, checkpoint_directory
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.steps import as_float32, make_predict
from vmr_jax.types import AttentionMap, Batch, Config, MomentSystem

SHOWN = 16  # proposals in a time line
_SIMILARITIES = {
    "positive": "train/similarity_positive",
    "negative": "train/similarity_negative",
}


class _Rows(NamedTuple):
    """The R valid rows of what a system looks at in one query, as in AttentionMap."""

    start: np.ndarray  # (R,)
    end: np.ndarray  # (R,)
    strength: np.ndarray  # (R,)
    words: np.ndarray  # (R, M) float64, the M real words


def attention_content(run: Run, qids: Sequence[str]) -> list[dict]:
    """VLANet's Fig. 5 of each query: which of its words meet which times of the video.

    `rows` are the R valid rows of the attention with the query's M real words, "clips" or
    "proposals" as `rows_are` says. `cells` is the map that is drawn: the times between all starts
    and ends, each the mean of the rows that cover it, None where no row does. Raises ValueError for
    an unknown query id.
    """
    rows = rows_of(run, qids)
    attend, _ = _functions(run)
    contents = []
    for row in rows:
        asked = words_of(run.domain, row)
        seen = _valid_rows(attend(run.params, _read(run.domain, row)), len(asked["words"]))
        edges, cells = time_cells(seen.start, seen.end, seen.words)
        contents.append(
            {"figure": "attention"}
            | about(run, row)
            | asked
            | {
                "quantity": models.of(run.config).words_show,
                "rows_are": kind_of_rows(seen.start, seen.end),
                "rows": {name: values.tolist() for name, values in seen._asdict().items()},
                "cells": {
                    "each": "mean of the rows that cover it",
                    "edges": edges.tolist(),
                    "words": [[_finite(x) for x in line] for line in cells.tolist()],
                },
            }
        )
    return contents


def timeline_content(run: Run, qids: Sequence[str]) -> list[dict]:
    """VLANet's Fig. 6 of each query: proposals by strength, and the ranked predictions.

    `proposals` are all valid rows of System.attention, clips where `rows_are` says so, the
    strongest first, of which the figure has the first `shown`. `predictions` are all of
    System.predict. Both are in seconds. Raises ValueError for an unknown query id.
    """
    rows = rows_of(run, qids)
    attend, predict = _functions(run)
    contents = []
    for row in rows:
        batch = _read(run.domain, row)
        seen = _valid_rows(attend(run.params, batch), 0)
        order = np.argsort(-seen.strength, kind="stable")
        found = jax.device_get(predict(run.params, batch))
        ranked = np.stack((found.start, found.end, found.score), axis=-1)[0]
        ranked = ranked[~np.isneginf(ranked[:, 2])].astype(np.float64)
        contents.append(
            {"figure": "timeline"}
            | about(run, row)
            | {
                "shown": min(SHOWN, len(order)),
                "rows_are": kind_of_rows(seen.start, seen.end),
                "proposals": {
                    name: getattr(seen, name)[order].tolist()
                    for name in ("start", "end", "strength")
                },
                "predictions": dict(zip(("start", "end", "score"), ranked.T.tolist(), strict=True)),
            }
        )
    return contents


def similarity_content(checkpoint: str | Path) -> dict:
    """VLANet's Fig. 4 of a run: the similarity of its positive and negative training pairs.

    Each value is the mean over the steps since the value before. A last line that is still being
    written is not read. Raises FileNotFoundError where there is no checkpoint or no metrics.jsonl,
    ValueError for a damaged line and for a run without similarities.
    """
    directory = checkpoint_directory(checkpoint)
    path = directory.parent / "metrics.jsonl"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no such file; the similarities are in the metrics.jsonl of a run's workdir"
        )
    lines = [line for line in _finished_lines(path) if set(_SIMILARITIES.values()) <= line.keys()]
    if not lines:
        raise ValueError(
            f"{path} has no {' and '.join(_SIMILARITIES.values())}: this system does not log the "
            "similarity of its pairs"
        )
    checkpoints = Checkpoints(directory, read_only=True)
    config = Config(checkpoints.meta(checkpoints.steps()[-1])["config"])
    checkpoints.close()
    return {
        "figure": "similarity",
        "system": models.of(config).shown,
        "dataset": config.target.dataset,
        "pairs": "training",
        "step": [line["step"] for line in lines],
        **{name: [line[key] for line in lines] for name, key in _SIMILARITIES.items()},
    }


def _finished_lines(path: Path) -> Iterator[dict]:
    """The lines of a metrics.jsonl, numbers by name, but for a last one without an end.

    Raises ValueError for one that is damaged.
    """
    for number, text in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path}:{number}: not valid JSON ({error})") from error
        if not isinstance(line, dict) or not all(type(x) in (int, float) for x in line.values()):
            raise ValueError(f"{path}:{number}: expected an object of numbers")
        if "step" not in line:
            raise ValueError(f'{path}:{number}: no "step"')
        yield line


def kind_of_rows(start: np.ndarray, end: np.ndarray) -> str:
    """Tell "clips", where each row starts as the one before ends, from "proposals".

    (R,), (R,) seconds, in any order. A single row is a proposal.
    """
    start, end = np.sort(start), np.sort(end)
    clips = len(start) > 1 and np.allclose(start[1:], end[:-1], atol=1e-3)
    return "clips" if clips else "proposals"


def time_cells(
    start: np.ndarray, end: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut time at all starts and ends; a cell has the mean of the rows that cover it.

    (R,), (R,) seconds, (R, M) -> edges (T + 1,), cells (T, M), NaN where no row is.
    """
    edges = np.unique(np.concatenate([start, end]))
    middle = (edges[:-1] + edges[1:])[:, None] / 2
    covering = (start <= middle) & (middle < end)
    with np.errstate(invalid="ignore"):
        return edges, covering @ values / covering.sum(axis=1, keepdims=True)


def _read(domain: Domain, row: int) -> Batch:
    """The batch of one query."""
    return as_float32(read_batch(domain, PairIndex(np.array([row]), np.ones(1, np.float32))))


def _functions(run: Run):
    """jit: (params, batch) -> AttentionMap, and the same -> Moments."""
    system = run.system
    if not isinstance(system, MomentSystem) or system.attention is None:
        raise ValueError(f"{run.config.system} has no attention map")
    return jax.jit(system.attention), make_predict(system, make_mesh())


def _valid_rows(seen: AttentionMap, num_words: int) -> _Rows:
    """The valid rows of a batch of one query and its first words, without the batch axis."""
    valid = np.asarray(seen.valid)[0]
    start, end, strength, words = (
        np.asarray(leaf)[0][valid] for leaf in (seen.start, seen.end, seen.strength, seen.words)
    )
    return _Rows(start, end, strength, words[:, :num_words].astype(np.float64))


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else value
