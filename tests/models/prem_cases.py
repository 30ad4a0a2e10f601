"""Tiny configs, systems and batches for the tests of PREM."""

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax import models
from vmr_jax.configs import prem_localizer, prem_retriever
from vmr_jax.types import Batch, CandidateBatch, DataSpec

SPEC = DataSpec(video_dim=5, word_dim=4, max_clips=9, max_words=5, sub_dim=3)
LARGER = SPEC._replace(max_clips=12, max_words=7)
SPECS = {"target": SPEC}
GET_CONFIG = {
    "prem_retriever": prem_retriever.get_config,
    "prem_localizer": prem_localizer.get_config,
}
CLIP = 1.5  # seconds


def config(system="prem_retriever", **switches):
    """The simulated corpus' config at width 8; a switch is named with __ for the dot."""
    c = GET_CONFIG[system]()
    c.dim, c.heads, c.dropout = 8, 2, 0.0
    c.target.update(max_clips=SPEC.max_clips, max_words=SPEC.max_words)
    if system == "prem_localizer":
        c.infer.update(min_l=1, max_l=3)
    c.target.normalize = "l2"
    c.update_from_flattened_dict({k.replace("__", "."): v for k, v in switches.items()})
    return c


def _videos(rng, clips):
    """Features, subtitles and masks of videos of so many clips; every third has no subtitle."""
    mask = np.arange(SPEC.max_clips) < np.asarray(clips)[..., None]
    image = rng.standard_normal((*mask.shape, SPEC.video_dim), np.float32) * mask[..., None]
    spoken = mask & (np.arange(SPEC.max_clips) % 3 != 1)
    sub = rng.standard_normal((*mask.shape, SPEC.sub_dim), np.float32) * spoken[..., None]
    return image, sub, mask


def _queries(rng, count):
    words = np.array([5, 2, 1, 4, 3, 5])[:count]
    mask = np.arange(SPEC.max_words) < words[:, None]
    query = rng.standard_normal((count, SPEC.max_words, SPEC.word_dim), np.float32)
    return query * mask[..., None], mask


def _of_videos(video):
    """What a batch says of its videos, by name."""
    image, sub, mask = video
    clips = mask.sum(-1).astype(np.int32)
    return {
        "video": image,
        "sub": sub,
        "video_mask": mask,
        "num_clips": clips,
        "duration": (CLIP * clips - 0.4).astype(np.float32),
    }


def batch(seed=0):
    """Six pairs. The first and third show one video; the second's moment is its whole video."""
    rng = np.random.default_rng(seed)
    videos = _videos(rng, [9, 1, 9, 5, 7, 6])
    for array in videos:
        array[2] = array[0]
    query, mask = _queries(rng, 6)
    span = np.array([[1, 3], [0, 0], [4, 4], [0, 1], [5, 6], [0, 4]], np.int32)
    made = Batch(
        **_of_videos(videos),
        query=query,
        query_mask=mask,
        video_id=np.array([7, 3, 7, 4, 5, 6], np.int32),
        query_id=np.arange(6, dtype=np.int32),
        moment=(span + [0.1, 0.9]).astype(np.float32) * CLIP,
        span=np.full((6, 2), -1, np.int32),
        weight=np.ones(6, np.float32),
    )
    return jax.device_put(made)


def candidates(seed=0):
    """Three queries with three videos each; one video is of one clip, too short for a segment."""
    rng = np.random.default_rng(seed)
    query, mask = _queries(rng, 3)
    span = np.array([[2, 6], [0, 1], [4, 4]], np.int32)
    made = CandidateBatch(
        **_of_videos(_videos(rng, [[9, 4, 7], [5, 1, 9], [6, 9, 3]])),
        query=query,
        query_mask=mask,
        video_id=np.array([[0, 1, 2], [3, 4, 0], [1, 0, 5]], np.int32),
        query_id=np.arange(3, dtype=np.int32),
        moment=(span + [0.1, 0.9]).astype(np.float32) * CLIP,
        weight=np.ones(3, np.float32),
    )
    return jax.device_put(made)


def example(c):
    """A batch that the system of `c` takes."""
    return candidates() if c.system == "prem_localizer" else batch()


def system(c, seed=0, specs=None):
    """The system and random parameters, large enough for attention that is far from uniform."""
    made = models.make(c, specs or SPECS)
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(made.init, jax.random.key(0), example(c))
    draw = lambda leaf: 0.5 * rng.standard_normal(leaf.shape, np.float32)  # noqa: E731
    return made, jax.tree.map(lambda leaf: jax.device_put(draw(leaf)), shapes)


def pad(b, rows=2, clips=3, words=2, candidates=0, value=7):
    """The same batch with padding: items of weight 0, clips and words of `value`, videos.

    Padded items are the first ones again, with moments that are hidden.
    """
    lead = 2 if isinstance(b, CandidateBatch) else 1
    b = jax.tree.map(np.asarray, b)

    def grow(x, axis, count, value=value):
        widths = [(0, 0)] * x.ndim
        widths[axis] = (0, count)
        return np.pad(x, widths, constant_values=value if x.dtype != bool else False)

    found = b._asdict()
    for name in ("video", "sub", "video_mask"):
        found[name] = grow(found[name], lead, clips)
        if candidates:
            found[name] = grow(found[name], 1, candidates)
    for name in ("num_clips", "duration", "video_id") if candidates else ():
        found[name] = grow(found[name], 1, candidates, 0)
    for name in ("query", "query_mask"):
        found[name] = grow(found[name], 1, words)
    there = {name: x for name, x in found.items() if x is not None}
    again = {name: np.concatenate([x, x[:rows]]) for name, x in there.items()}
    again["weight"][len(b.weight) :] = 0
    again["moment"][len(b.weight) :] = np.nan
    return jax.device_put(type(b)(**again))


def longer_tables(params, value=5.0):
    """The parameters for LARGER: the tables of positions have rows of `value` at their ends."""

    def grow(path, leaf):
        if path[-1].key != "positions":
            return leaf
        rows = LARGER.max_words if path[-2].key == "query" else LARGER.max_clips
        return np.pad(leaf, ((0, rows - len(leaf)), (0, 0)), constant_values=value)

    return jax.tree_util.tree_map_with_path(grow, params)


def blank(spec, candidates=0):
    """A batch of two zero items of a spec's sizes, with `candidates` videos each."""
    lead = (2, candidates) if candidates else (2,)
    made = {
        "video": jnp.zeros((*lead, spec.max_clips, spec.video_dim)),
        "video_mask": jnp.zeros((*lead, spec.max_clips), bool),
        "num_clips": jnp.zeros(lead, jnp.int32),
        "duration": jnp.zeros(lead),
        "video_id": jnp.zeros(lead, jnp.int32),
        "query": jnp.zeros((2, spec.max_words, spec.word_dim)),
        "query_mask": jnp.zeros((2, spec.max_words), bool),
        "query_id": jnp.zeros(2, jnp.int32),
        "moment": jnp.zeros((2, 2)),
        "weight": jnp.zeros(2),
        "sub": jnp.zeros((*lead, spec.max_clips, spec.sub_dim)) if spec.sub_dim else None,
    }
    if candidates:
        return CandidateBatch(**made)
    return Batch(**made, span=jnp.zeros((2, 2), jnp.int32))


def one_step(name):
    """The config, sizes and batch of the smallest form."""
    c = config(name)
    return c, SPECS, example(c)
