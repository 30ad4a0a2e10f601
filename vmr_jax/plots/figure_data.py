"""What VLANet's figures of a query show, as JSON."""

from collections.abc import Sequence
from typing import NamedTuple, cast

import jax
import numpy as np

from vmr_jax import models
from vmr_jax.data.batches.data_paths import read_batch
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.metrics.highlights import CLIP_SECONDS
from vmr_jax.plots.queries import Run, about, rows_of, words_of
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.steps import as_float32, make_predict
from vmr_jax.types import AttentionMap, Batch, Moments, MomentSystem

SHOWN = 16  # proposals in a time line


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
                "predictions": _ranked(found),
            }
        )
    return contents


def saliency_content(run: Run, qids: Sequence[str]) -> list[dict]:
    """How salient each clip of a query's video is, and the ranked predictions, in seconds.

    `clips` has the edges (C + 1,) of the clips and a system's score of each. Where annotators rated
    the query's clips of 2 s, `ratings` has their edges and mean rating, from 0 to 4. Raises
    ValueError for an unknown query id.
    """
    predict = make_predict(cast(MomentSystem, run.system), make_mesh())
    contents = []
    for row in rows_of(run, qids):
        batch = _read(run.domain, row)
        found = jax.device_get(predict(run.params, batch))
        seconds, count = float(batch.duration[0]), int(batch.num_clips[0])
        shown = about(run, row) | {
            "clips": {
                "edges": np.linspace(0, seconds, count + 1).tolist(),
                "saliency": np.asarray(found.saliency)[0, :count].astype(np.float64).tolist(),
            },
            "predictions": _ranked(found),
        }
        rated = run.domain.table.saliency
        if rated is not None and len(rated[row]):
            edges = CLIP_SECONDS * np.arange(len(rated[row]) + 1)
            shown["ratings"] = {"edges": edges.tolist(), "mean": rated[row].mean(axis=1).tolist()}
        contents.append({"figure": "saliency"} | shown)
    return contents


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


def _ranked(found: Moments) -> dict[str, list[float]]:
    """The predictions for a batch of one query, best first."""
    ranked = np.stack((found.start, found.end, found.score), axis=-1)[0]
    ranked = ranked[~np.isneginf(ranked[:, 2])].astype(np.float64)
    return dict(zip(("start", "end", "score"), ranked.T.tolist(), strict=True))


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
