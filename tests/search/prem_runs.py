"""Runs of PREM's systems that were trained for no step."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax import models
from vmr_jax.datasets import open_dataset
from vmr_jax.training.checkpoint import Checkpoints
from vmr_jax.training.state import TrainState
from vmr_jax.types import Batch, CandidateBatch, DataSpec, Retriever

# Settings of a small system on the toy corpus of `write_toy`.
TOY = {
    "target.normalize": "l2",
    "dim": 8,
    "heads": 2,
    "target.dataset": "toy",
    "target.features": "features",
    "target.subtitles": "subtitles",
    "target.max_clips": 12,
    "target.max_words": 6,
}


def save_run(workdir: Path, get_config, data_dir: Path, **switches) -> str:
    """A run of the toy corpus whose only checkpoint holds random parameters."""
    config = get_config()
    changes = {name.replace("__", "."): value for name, value in switches.items()}
    config.update_from_flattened_dict(TOY | {"data_dir": str(data_dir)} | changes)
    dataset = open_dataset(config.target, data_dir)
    width = dataset.query_vectors if config.target.query_features else dataset.vectors
    spec = DataSpec(dataset.videos.feature_dim, width.shape[1], 12, 6, dataset.sub_dim)
    system = models.make(config, {"target": spec})
    of_video = (1,) if isinstance(system, Retriever) else (1, 2)
    zeros = lambda *shape: jnp.zeros((*of_video, *shape))  # noqa: E731
    form = Batch if isinstance(system, Retriever) else CandidateBatch
    blank = dict.fromkeys(form._fields) | {
        "video": zeros(12, spec.video_dim),
        "video_mask": zeros(12) == 0,
        "sub": zeros(12, spec.sub_dim) if spec.sub_dim else None,
        "query": jnp.zeros((1, 6, spec.word_dim)),
        "query_mask": jnp.ones((1, 6), bool),
    }
    shapes = jax.eval_shape(system.init, jax.random.key(0), form(**blank))
    rng = np.random.default_rng(0)
    draw = lambda leaf: jnp.asarray(0.5 * rng.standard_normal(leaf.shape, np.float32))  # noqa: E731
    state = TrainState(jnp.int32(3), jax.tree.map(draw, shapes), {})
    checkpoints = Checkpoints(workdir / "checkpoints")
    meta = {"config": config.to_dict(), "specs": {"target": spec._asdict()}}
    checkpoints.save(state, meta | {"selected_by": "last epoch", "chosen_by": ""})
    checkpoints.close()
    return str(workdir)
