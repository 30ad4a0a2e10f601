"""What each figure shows, as JSON: a system's look at a query, and a run's similarities."""

import json
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
from ml_collections import ConfigDict

from vmr_jax.data.domains import evaluation_domain
from vmr_jax.data.pairs import Domain, PairIndex
from vmr_jax.data.pipeline import read_batch
from vmr_jax.data.text import UNKNOWN, tokenize
from vmr_jax.evaluate_moments import Run, open_run
from vmr_jax.runtime.checkpoint import Checkpoints, checkpoint_directory
from vmr_jax.runtime.mesh import make_mesh
from vmr_jax.runtime.steps import make_predict
from vmr_jax.types import AttentionMap, Batch

SHOWN = 16  # proposals in a time line
_SIMILARITIES = {
    "positive": "train/similarity_positive",
    "negative": "train/similarity_negative",
}


def open_split(checkpoint: str | Path, split: str = "", data_dir: str | Path = "") -> Run:
    """The best checkpoint of a run, with a split of its target, labelled or not.

    `checkpoint` is a workdir or its checkpoints directory; without `split` and `data_dir` the
    run's own are taken. Raises FileNotFoundError where there is no checkpoint or no data,
    ValueError for an unknown split and for a system without an attention map.
    """
    directory = checkpoint_directory(checkpoint)
    config = None
    if data_dir:
        config = _trained_config(directory)
        config.data_dir = str(data_dir)
    run = open_run(config, directory)
    if run.system.attention is None:
        raise ValueError(
            f"{directory}: this {run.config.system} has no attention map, which the figures "
            "attention and timeline show; it has only the figure similarity"
        )
    if split:
        run.config.target.eval_split = split
        domain = evaluation_domain(run.config, run.domain.dataset, split)
        run = run._replace(domain=domain)
    return run


def attention_content(run: Run, qids: Sequence[str]) -> list[dict]:
    """VLANet's Fig. 5 of each query: which of its words meet which times of the video.

    `rows` are the R valid rows of System.attention with the query's M real words. `cells` is the
    map that is drawn: the times between all starts and ends, each the mean of the rows that cover
    it, None where no row does. Raises ValueError for an unknown query id.
    """
    rows = _rows_of(run, qids)
    attend = jax.jit(run.system.attention)
    contents = []
    for row in rows:
        words, cut = _words(run.domain, row)
        seen = _valid_rows(attend(run.params, _read(run.domain, row)), len(words))
        edges, cells = time_cells(seen.start, seen.end, seen.words)
        contents.append(
            {"figure": "attention"}
            | _about(run, row)
            | {
                "words": words,
                "words_left_out": cut,
                "quantity": run.system.words_show,
                "rows": {name: values.tolist() for name, values in _named(seen).items()},
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

    `proposals` are all valid rows of System.attention, the strongest first, of which the figure
    has the first `shown`. `predictions` are all of System.predict. Both are in seconds. Raises
    ValueError for an unknown query id.
    """
    rows = _rows_of(run, qids)
    attend, predict = jax.jit(run.system.attention), make_predict(run.system, make_mesh())
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
            | _about(run, row)
            | {
                "shown": min(SHOWN, len(order)),
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
    lines = []
    for number, text in enumerate(path.read_text("utf-8").split("\n")[:-1], 1):
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: not valid JSON ({error})") from error
    lines = [line for line in lines if set(_SIMILARITIES.values()) <= line.keys()]
    if not lines:
        raise ValueError(
            f"{path} has no {' and '.join(_SIMILARITIES.values())}: this system does not log the "
            "similarity of its pairs"
        )
    config = _trained_config(directory)
    return {
        "figure": "similarity",
        "system": config.system,
        "dataset": config.target.dataset,
        "pairs": "training",
        "step": [line["step"] for line in lines],
        **{name: [line[key] for line in lines] for name, key in _SIMILARITIES.items()},
    }


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


def _trained_config(directory: Path) -> ConfigDict:
    """The config that the run of a checkpoints directory was trained with."""
    checkpoints = Checkpoints(directory, read_only=True)
    config = ConfigDict(checkpoints.meta(checkpoints.steps()[-1])["config"])
    checkpoints.close()
    return config


def _rows_of(run: Run, qids: Sequence[str]) -> list[int]:
    """The rows of the queries in the split's table."""
    known = run.domain.table.query_id
    unknown = [qid for qid in qids if qid not in known]
    if unknown:
        raise ValueError(
            f"no query {', '.join(map(repr, unknown))} in {run.domain.dataset.name} / "
            f"{run.config.target.eval_split}, which has {len(known):,}, such as "
            f"{', '.join(known[:5])}; --split chooses among "
            f"{', '.join(sorted(run.domain.dataset.splits))}"
        )
    return [known.index(qid) for qid in qids]


def _read(domain: Domain, row: int) -> Batch:
    """The batch of one query."""
    batch = read_batch(domain, PairIndex(np.array([row]), np.ones(1, np.float32)))
    return batch._replace(video=batch.video.astype(np.float32))


def _valid_rows(seen: AttentionMap, num_words: int) -> AttentionMap:
    """The valid rows of a batch of one query and its first words, without the batch axis."""
    seen = jax.tree.map(lambda leaf: np.asarray(leaf)[0], seen)
    seen = AttentionMap(*(leaf[seen.valid] for leaf in seen))
    return seen._replace(words=seen.words[:, :num_words].astype(np.float64))


def _named(seen: AttentionMap) -> dict[str, np.ndarray]:
    """The columns of valid rows."""
    return {name: values for name, values in seen._asdict().items() if name != "valid"}


def _words(domain: Domain, row: int) -> tuple[list[dict], int]:
    """The query's words as the system reads them, and how many are left out at the end."""
    count = int(domain.pairs.num_words[row])
    tokens = tokenize(domain.table.sentence[row])
    vocabulary = domain.dataset.vocabulary
    words = [
        {"word": token, "known": vocabulary[index] != UNKNOWN}
        for token, index in zip(tokens[:count], domain.pairs.words[row, :count], strict=True)
    ]
    return words, len(tokens) - count


def _about(run: Run, row: int) -> dict:
    """Which query of which data and checkpoint it is, with its ground truth."""
    domain = run.domain
    return {
        "system": run.config.system,
        "checkpoint": run.checkpoint,
        "dataset": domain.dataset.name,
        "split": run.config.target.eval_split,
        "qid": domain.table.query_id[row],
        "query": domain.table.sentence[row],
        "vid": domain.dataset.videos.video_id[domain.table.video[row]],
        "duration": float(domain.pairs.duration[domain.pairs.video[row]]),
        "truth": domain.moments[row].tolist(),
    }


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else value
