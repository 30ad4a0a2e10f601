"""Tiny configs and batches for the tests of MMCDA."""

import functools

import eva_cases
import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax import models
from vmr_jax.configs import mmcda as mmcda_config
from vmr_jax.training.steps import term_means
from vmr_jax.types import DataSpec, HybridBatch, Progress

SPECS = {"source": DataSpec(6, 5, 7, 4), "target": DataSpec(6, 5, 9, 4)}
jit = eva_cases.jit
END = Progress(jnp.int32(9), jnp.int32(1), jnp.float32(0.5))  # the ramp is over
START = Progress(jnp.int32(0), jnp.int32(0), jnp.float32(0))


def config(**switches):
    """The simulated pair's config at width 8; a switch is named with __ for the dot."""
    c = mmcda_config.get_config()
    c.dim, c.joint_dim, c.heads, c.dropout, c.position_rows = 8, 6, 2, 0.0, 12
    c.map.update({"clips": 5, "pooling_counts": (4,), "dim": 8})
    c.eval.top_k = 4
    c.source.normalize = c.target.normalize = "none"
    c.update_from_flattened_dict({k.replace("__", "."): v for k, v in switches.items()})
    return c


def pairs(role, size=4, seed=0):
    """Random pairs of a domain; the first and the last show one video, the second is one clip."""
    b = eva_cases.batch(SPECS[role], size, seed)
    return b._replace(video_id=np.r_[b.video_id[:-1], b.video_id[:1]])


def example(c, size=4):
    """What the loss of `c` takes."""
    batches = {
        role: jax.device_put(pairs(role, size, seed))
        for seed, role in enumerate(("source", "target"))
        if role in models.of(c).domains(c)
    }
    return HybridBatch(**batches) if len(batches) == 2 else batches["target"]


def system(c, seed=0):
    """The system and random parameters, large enough for attention that is far from uniform."""
    made = models.make(c, {role: SPECS[role] for role in models.of(c).domains(c)})
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(made.init, jax.random.key(0), example(c))
    draw = lambda leaf: 0.5 * rng.standard_normal(leaf.shape, np.float32)  # noqa: E731
    params = jax.tree.map(lambda leaf: jax.device_put(draw(leaf)), shapes)
    if "statistics" in params:
        params["statistics"] = jax.tree.map(lambda x: jnp.abs(x) + 0.5, params["statistics"])
    return made, params


def means(made, params, batches, progress=END, key=None):
    """Each term's mean."""
    key = jax.random.key(0) if key is None else key
    return term_means(made.loss(params, batches, key, progress).terms)


def total(made, params, batches, progress=END, key=None):
    """The loss."""
    return sum(means(made, params, batches, progress, key).values())


@functools.cache
def measured(*switches):
    """(params, batches, progress) -> each term's mean and the gradient of the loss, compiled once.

    `switches` are the items of those of `config`.
    """
    made, _ = system(config(**dict(switches)))

    @jit
    def run(params, batches, progress):
        def loss(params):
            terms = means(made, params, batches, progress)
            return sum(terms.values()), terms

        gradient, terms = jax.grad(loss, has_aux=True)(params)
        return terms, gradient

    return run


def one_step(name):
    """The config, sizes and batch of the smallest form."""
    c = config()
    return c, SPECS, example(c)
