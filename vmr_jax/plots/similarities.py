"""VLANet's Fig. 4 as JSON: the similarity of positive and negative pairs, over a run's steps.

Of its training pairs, as the run logged them, or of the pairs of any split, at each checkpoint that
is kept.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax import models
from vmr_jax.data.batches.data_paths import read_batch
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.data.batches.splits import evaluation_domain
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation.restore import restore_run
from vmr_jax.training.checkpoint import Checkpoints, checkpoint_directory
from vmr_jax.training.steps import Pace, as_float32
from vmr_jax.types import Config, MomentSystem, Params

_SIMILARITIES = {
    "positive": "train/similarity_positive",
    "negative": "train/similarity_negative",
}


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


def split_similarity_content(checkpoint: str | Path, split: str, data_dir: str | Path = "") -> dict:
    """The same of the pairs of a split, one value a checkpoint that the run has kept.

    Nothing is dropped; each pair's negatives are other videos of a batch whose order is seeded, the
    same ones at every checkpoint. Raises as `similarity_content`, and ValueError for a system that
    trains on two domains or reads videos with all their queries.
    """
    directory = checkpoint_directory(checkpoint)
    config = restore_run(None, directory).config
    about = models.of(config)
    if about.kind != "moments" or about.batch != "pairs" or about.domains(config) != ("target",):
        raise ValueError(
            f"{directory}: the similarities of a split are those of a system that learns from "
            f"pairs of one domain alone, such as vlanet; this is {config.system} on "
            f"{', '.join(about.domains(config))}. Leave --split out for its training pairs"
        )
    if data_dir:
        config.data_dir = str(data_dir)
    domain = evaluation_domain(config, evaluation_dataset(config), split)
    system = models.make(config, {"target": domain.spec})
    if not isinstance(system, MomentSystem):
        raise TypeError(f"{config.system} is described as a system of moments")
    checkpoints = Checkpoints(directory, read_only=True)
    steps = sorted(checkpoints.steps())
    rows = [_similarities(config, system, domain, checkpoints.restore_params(s)) for s in steps]
    checkpoints.close()
    return {
        "figure": "similarity",
        "system": about.shown,
        "dataset": config.target.dataset,
        "pairs": split,
        "step": steps,
        **{name: [row[name] for row in rows] for name in _SIMILARITIES},
    }


def _similarities(
    config: Config, system: MomentSystem, domain: Domain, params: Params
) -> dict[str, float]:
    """The mean similarity of the positive and of the negative pairs of a split."""
    start = Pace(1, 1).progress(jnp.int32(0))
    watch = jax.jit(lambda params, batch, key: system.loss(params, batch, key, start).watched)
    order = np.random.default_rng(0).permutation(len(domain.table.query_id))
    size = min(config.batch_size, len(order))
    sums = {name: np.zeros(2) for name in _SIMILARITIES}
    for number, first in enumerate(range(0, len(order), size)):
        rows = np.resize(order[first : first + size], size)
        weight = (np.arange(size) < len(order) - first).astype(np.float32)
        batch = as_float32(read_batch(domain, PairIndex(rows, weight)))
        watched = watch(params, batch, jax.random.key(number))
        for name in sums:
            sums[name] += [float(x) for x in watched[f"similarity_{name}"]]
    return {name: total / count for name, (total, count) in sums.items()}


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
