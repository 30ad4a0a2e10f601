"""Hard negatives: the videos that a trained retriever ranks high for a query and that are wrong."""

import hashlib
import json
from pathlib import Path

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.splits import TRAINED, evaluation_corpus
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.output_files import whole_path
from vmr_jax.search.first_stage import first_stage
from vmr_jax.types import Config

_FILE = "candidates.npz"


def with_candidates(
    config: Config, domain: Domain, workdir: Path, mesh: Mesh, console: Console
) -> Domain:
    """The domain of a training split with the config.first.top best wrong videos of each query.

    They are ranked once, among the videos of the split, and kept in the workdir (PREM, section
    3.5). Raises as `first_stage`.
    """
    first, top = first_stage(config), config.first.top
    split = config.target.train_split, config.select, config.seed
    made_from = json.dumps([first.identity, domain.dataset.fingerprint, *split, top])
    made_from = hashlib.sha256(made_from.encode()).hexdigest()
    path = workdir / _FILE
    if path.exists():
        with np.load(path, allow_pickle=False) as found:
            if found["made_from"] == made_from:
                return domain._replace(candidates=found["candidates"])
    corpus = evaluation_corpus(config, evaluation_dataset(config), TRAINED)
    ranking = first.rank(TRAINED, corpus, top + 1, mesh, console)
    candidates = without_truth(ranking.row, domain.pairs.video)
    if jax.process_index() == 0:
        workdir.mkdir(parents=True, exist_ok=True)
        with whole_path(path) as draft:
            np.savez(draft, candidates=candidates, made_from=made_from)
    return domain._replace(candidates=candidates)


def without_truth(row: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Ranked rows (Q, R + 1) without the true video (Q,): (Q, R) int32, -1 padded at the end."""
    wrong = (row != video[:, None]) & (row >= 0)
    order = np.argsort(~wrong, axis=1, kind="stable")[:, :-1]
    kept = np.take_along_axis(np.where(wrong, row, -1), order, axis=1)
    return kept.astype(np.int32)
