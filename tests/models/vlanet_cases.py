"""Tiny configs, systems and batches for the tests of VLANet."""

import eva_cases
import jax
import numpy as np

from vmr_jax import models
from vmr_jax.configs import vlanet as vlanet_config
from vmr_jax.types import DataSpec

SPEC = DataSpec(video_dim=6, word_dim=5, max_clips=9, max_words=4)
SPECS = {"target": SPEC}


def config(dataset="", **switches):
    """The simulated data's config at width 8; a switch is named with __ for the dot."""
    c = vlanet_config.get_config(dataset)
    c.dim = 8
    c.attn.rescale_n, c.vla.reduce = False, "sum"
    c.proposals.update(stride=2, widths=(2, 4))
    c.target.normalize = "none"
    c.update_from_flattened_dict({k.replace("__", "."): v for k, v in switches.items()})
    return c


def batch(size=4, seed=0):
    """Random pairs; the second video is shorter than half of the smallest window is long."""
    return jax.device_put(eva_cases.batch(SPEC, size, seed))


def system(c, seed=0, scale=0.8):
    """The system and random parameters, large enough for attention that is far from uniform."""
    made = models.make(c, SPECS)
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(made.init, jax.random.key(0), batch())
    draw = lambda leaf: scale * rng.standard_normal(leaf.shape, np.float32)  # noqa: E731
    return made, jax.tree.map(lambda leaf: jax.device_put(draw(leaf)), shapes)


def one_step(name):
    """The config, sizes and batch of the smallest form."""
    return config(), SPECS, batch()
