"""Tiny configs, systems and batches for the tests of MMN."""

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from vmr_jax import models
from vmr_jax.configs import mmn as mmn_config
from vmr_jax.data.text.tokens import vocabulary_size
from vmr_jax.encoders.distilbert import load_distilbert
from vmr_jax.models.mmn.network import MMN, text_sizes
from vmr_jax.types import STATISTICS, DataSpec, Progress, VideoBatch

SPEC = DataSpec(video_dim=5, word_dim=0, max_clips=16, max_words=6)
SPECS = {"target": SPEC}
VOCABULARY = 20  # of the tokens in the batches
FIRST_EPOCH = Progress(jnp.int32(0), jnp.int32(0), jnp.float32(0))


def config(**switches):
    """The simulated data's config at width 8; a switch is named with __ for the dot."""
    c = mmn_config.get_config()
    c.dim, c.joint_dim, c.batch_size = 8, 6, 4
    c.target.max_clips = SPEC.max_clips
    c.map.update(clips=8, pooling_counts=(3, 2), kernel=3, layers=1)
    c.eval.top_k = 4
    c.target.normalize = "l2"
    c.update_from_flattened_dict({k.replace("__", "."): v for k, v in switches.items()})
    return c


def batch(owner=(0, 0, 1, 2, 3, 3), seed=0, spec=SPEC):
    """Random videos, the last query's is the last; each query has a random length."""
    rng = np.random.default_rng(seed)
    owner = np.array(owner, np.int32)
    videos, queries = owner.max() + 1, len(owner)
    words = rng.integers(3, spec.max_words + 1, queries)
    mask = np.arange(spec.max_words) < words[:, None]
    tokens = rng.integers(2, VOCABULARY - 1, mask.shape)
    tokens[:, 0] = 2
    tokens[np.arange(queries), words - 1] = VOCABULARY - 1
    duration = rng.uniform(10, 30, videos).astype(np.float32)
    moment = np.sort(rng.uniform(0, duration[owner][:, None], (queries, 2)), axis=1)
    made = VideoBatch(
        video=rng.standard_normal((videos, spec.max_clips, spec.video_dim), np.float32),
        video_mask=np.ones((videos, spec.max_clips), bool),
        num_clips=np.full(videos, spec.max_clips, np.int32),
        duration=duration,
        video_id=np.arange(videos, dtype=np.int32),
        weight=np.ones(videos, np.float32),
        tokens=np.where(mask, tokens, 0).astype(np.int32),
        token_mask=mask,
        owner=owner,
        query_id=np.arange(queries, dtype=np.int32),
        moment=moment.astype(np.float32),
        query_weight=np.ones(queries, np.float32),
    )
    return jax.device_put(made)


def pad(b, videos=2, queries=3, words=0):
    """The same batch with padding: its first rows again, of weight 0, and more tokens."""

    def rows(x, count):
        return jnp.concatenate([x, x[:count]]) if count else x

    return VideoBatch(
        **{name: rows(getattr(b, name), videos) for name in VideoBatch._fields[:5]},
        weight=jnp.pad(b.weight, (0, videos)),
        tokens=jnp.pad(rows(b.tokens, queries), ((0, 0), (0, words))),
        token_mask=jnp.pad(rows(b.token_mask, queries), ((0, 0), (0, words))),
        **{name: rows(getattr(b, name), queries) for name in VideoBatch._fields[8:11]},
        query_weight=jnp.pad(b.query_weight, (0, queries)),
    )


def system(c, seed=0, scale=0.3):
    """The system and random parameters; running variances are positive."""
    made = models.make(c, SPECS)
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(made.init, jax.random.key(0), batch())
    draw = lambda leaf: scale * rng.standard_normal(leaf.shape, np.float32)  # noqa: E731
    params = jax.tree.map(draw, shapes)
    for name in params[STATISTICS]["map"]:
        if name.startswith("var"):
            params[STATISTICS]["map"][name] = np.abs(params[STATISTICS]["map"][name]) + 0.5
    return made, jax.device_put(params)


def network(c):
    """The Linen module, with as many token ids as the system has."""
    return MMN(c, SPEC.video_dim, vocabulary_size(c.text))


def write_distilbert(path, c, seed=3):
    """A weight file for the small encoder of a config, under Hugging Face's names."""
    rng = np.random.default_rng(seed)
    sizes = text_sizes(c.text, vocabulary_size(c.text))
    width, hidden = sizes.width, 4 * sizes.width
    shapes = {
        "embeddings.word_embeddings.weight": (sizes.vocabulary, width),
        "embeddings.position_embeddings.weight": (sizes.context, width),
        "embeddings.LayerNorm.weight": (width,),
        "embeddings.LayerNorm.bias": (width,),
    }
    for layer in range(sizes.layers):
        linear = {f"attention.{name}_lin": (width, width) for name in ("q", "k", "v", "out")}
        linear |= {"ffn.lin1": (hidden, width), "ffn.lin2": (width, hidden)}
        for name, shape in linear.items():
            shapes[f"transformer.layer.{layer}.{name}.weight"] = shape
            shapes[f"transformer.layer.{layer}.{name}.bias"] = shape[:1]
        for name in ("sa_layer_norm", "output_layer_norm"):
            shapes[f"transformer.layer.{layer}.{name}.weight"] = (width,)
            shapes[f"transformer.layer.{layer}.{name}.bias"] = (width,)
    draw = lambda shape: 0.1 * rng.standard_normal(shape, np.float32)  # noqa: E731
    tensors = {f"distilbert.{name}": draw(shape) for name, shape in shapes.items()}
    safetensors.numpy.save_file(tensors, path)
    return load_distilbert(path, sizes)


def one_step(name):
    """The config, sizes and batch of the smallest form."""
    return config(), SPECS, batch()
