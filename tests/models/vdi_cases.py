"""Tiny configs, systems and batches for the tests of VDI: MMN's, with parts and patches."""

import functools

import jax
import jax.numpy as jnp
import mmn_cases
import numpy as np

from vmr_jax import models
from vmr_jax.configs import vdi as vdi_config
from vmr_jax.data.text.tokens import vocabulary_size
from vmr_jax.types import STATISTICS, DataSpec, VideoBatch

SPEC = DataSpec(video_dim=8, word_dim=0, max_clips=16, max_words=6)
SPECS = {"target": SPEC}
FRAMES, CELLS = 3, 4
FIRST_EPOCH = mmn_cases.FIRST_EPOCH
INJECTED = ("visual_context", "spatial_dynamics")
BASELINE = {"vdi__vc": False, "vdi__sd": False}


def config(**switches):
    """The simulated data's config at width 8; a switch is named with __ for the dot."""
    c = vdi_config.get_config()
    c.dim, c.joint_dim, c.batch_size = 8, 6, 4
    c.target.max_clips = SPEC.max_clips
    c.map.update(clips=4, pooling_counts=(3,), kernel=3, layers=1)
    c.eval.top_k = 4
    c.vdi.dropout = 0.0
    c.target.normalize = "l2"
    c.update_from_flattened_dict({k.replace("__", "."): v for k, v in switches.items()})
    return c


def batch(c, seed=0, spec=SPEC, patch_width=8):
    """Six queries of four videos; query 1 has no static part, query 3 no dynamic one."""
    b, rng = mmn_cases.batch(seed=seed, spec=spec), np.random.default_rng(seed + 100)
    end = vocabulary_size(c.text) - 1  # the highest id is the end of text
    last = b.token_mask.sum(axis=1) - 1
    query = jnp.arange(len(last))
    tokens = b.tokens.at[query, last].set(end)
    parts = {}
    for part, bad in (("static", 1), ("dynamic", 3)):
        words = b.token_mask & (b.tokens > 2) & (tokens != end)
        hidden = words & jnp.asarray(rng.random(words.shape) < 0.5)
        mask, ids = b.token_mask, tokens
        if c.text.query_mask_mode == "learned":
            ids = jnp.where(hidden, end + 1, tokens)
        elif c.text.query_mask_mode == "attention":
            mask = mask & ~hidden
        else:
            ids = jnp.where(hidden, 3, tokens)
        ok = jnp.arange(len(last)) != bad
        parts |= {f"{part}_tokens": ids, f"{part}_mask": mask, f"{part}_ok": ok}
    videos = len(b.video)
    draw = lambda *shape: jnp.asarray(rng.standard_normal(shape), jnp.float32)  # noqa: E731
    return b._replace(
        tokens=tokens,
        **parts,
        patches=draw(videos, FRAMES, CELLS, patch_width),
        patch_cls=draw(videos, FRAMES, spec.video_dim),
    )


def without_parts(b):
    """The batch as prediction has it."""
    return VideoBatch(*b[:12])


def pad(b, videos=2, queries=3, words=2):
    """The same batch with padding: its first rows again, of weight 0, and more tokens."""
    made = mmn_cases.pad(without_parts(b), videos, queries, words)._asdict()
    for name in VideoBatch._fields[12:]:
        count = videos if name.startswith("patch") else queries
        leaf = getattr(b, name)
        leaf = jnp.concatenate([leaf, leaf[:count]])
        made[name] = jnp.pad(leaf, ((0, 0), (0, words))) if leaf.ndim == 2 else leaf
    return VideoBatch(**made)


def system(c, b, seed=0, scale=0.3, specs=SPECS):
    """The system and random parameters; running variances are positive."""
    made = models.make(c, specs)
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(made.init, jax.random.key(0), b)
    draw = lambda leaf: scale * rng.standard_normal(leaf.shape, np.float32)  # noqa: E731
    params = jax.tree.map(draw, shapes)
    for name in params[STATISTICS]["map"]:
        if name.startswith("var"):
            params[STATISTICS]["map"][name] = np.abs(params[STATISTICS]["map"][name]) + 0.5
    return made, jax.device_put(params)


@functools.cache
def plain():
    """The config without switches, its batch, system and parameters, made once."""
    c = config()
    b = batch(c)
    return c, b, *system(c, b)


def one_step(name):
    """The config, sizes and batch of the smallest form."""
    c = config()
    return c, SPECS, batch(c)
