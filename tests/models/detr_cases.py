"""Tiny configs, systems and batches for the tests of Moment-DETR and QD-DETR."""

import importlib

import eva_cases
import jax
import numpy as np

from vmr_jax import models
from vmr_jax.types import DataSpec, MomentSystem

SPEC = DataSpec(video_dim=6, word_dim=5, max_clips=9, max_words=4)
SPECS = {"target": SPEC}
SMALL = {
    "dim": 8,
    "heads": 2,
    "hidden": 12,
    "encoder_layers": 1,
    "slots": 4,
    "most_moments": 3,
    "dropout": 0.0,
    "input.dropout": 0.0,
}


def config(name="qd_detr", dataset="", **switches):
    """The simulated data's config at width 8; a switch is named with __ for the dot."""
    c = importlib.import_module(f"vmr_jax.configs.{name}").get_config(dataset)
    changes = SMALL | {k.replace("__", "."): v for k, v in switches.items()}
    c.update_from_flattened_dict(changes)
    return c


def batch(size=4, seed=0):
    """Random pairs: queries have one to three moments, whose clips are rated but for the first."""
    made = eva_cases.batch(SPEC, size, seed)
    rng = np.random.default_rng(seed)
    edges = np.sort(rng.uniform(size=(size, 3, 2)), axis=-1) * made.duration[:, None, None]
    edges = np.where(np.arange(3)[:, None] < rng.integers(1, 4, (size, 1, 1)), edges, np.nan)
    centre = np.arange(SPEC.max_clips) + 0.5
    centre = centre * (np.asarray(made.duration) / np.asarray(made.num_clips))[:, None]
    starts, ends = edges[..., :1], edges[..., 1:]
    inside = ((centre[:, None] >= starts) & (centre[:, None] < ends)).any(axis=1)
    inside[:, 0] = True
    rated = np.where(np.arange(size)[:, None] > 0, rng.integers(1, 13, inside.shape), 1)
    saliency = np.where(inside & np.asarray(made.video_mask), rated, -1).astype(np.float32)
    return jax.device_put(made._replace(moments=edges.astype(np.float32), saliency=saliency))


def system(c, seed=0, scale=0.5):
    """The system and random parameters."""
    made = models.make(c, SPECS)
    assert isinstance(made, MomentSystem)
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(made.init, jax.random.key(0), batch())
    draw = lambda leaf: scale * rng.standard_normal(leaf.shape, np.float32)  # noqa: E731
    return made, jax.tree.map(lambda leaf: jax.device_put(draw(leaf)), shapes)


def one_step(name):
    """The config, sizes and batch of the smallest form."""
    return config(name, decoder_layers=1), SPECS, batch()
