"""Tiny configs and batches for the tests of EVA."""

import jax
import numpy as np

from vmr_jax import models
from vmr_jax.configs import eva as eva_config
from vmr_jax.types import Batch, DataSpec, HybridBatch

F, E = 6, 5
SPECS = {"source": DataSpec(F, E, 7, 4), "target": DataSpec(F, E, 9, 4)}


def jit(function):
    """Compile quickly a program of a test, which runs once; its results are NumPy's.

    JAX would compile each operation on them for each shape.
    """
    compiled = jax.jit(function, compiler_options={"xla_backend_optimization_level": 0})
    return lambda *arguments, **named: jax.device_get(compiled(*arguments, **named))


def config(**switches):
    """The simulated pair's config at width 8; a switch is named with __ for the dot."""
    c = eva_config.get_config()
    c.dim, c.dropout = 8, 0.0
    c.source.update(windows=(2, 3), stride=1)
    c.target.update(windows=(2, 4), stride=2)
    c.eval.top_k = 4
    c.source.normalize = c.target.normalize = "none"
    c.update_from_flattened_dict({k.replace("__", "."): v for k, v in switches.items()})
    return c


def batch(spec, size=4, seed=0):
    """Random pairs; the second video is shorter than every window."""
    rng = np.random.default_rng(seed)
    n, m = spec.max_clips, spec.max_words
    clips = np.array([n, 1, n - 2, 5, n - 1, 4])[:size].astype(np.int32)
    words = np.array([m, 2, 1, 3, m, 2])[:size]
    video_mask, query_mask = np.arange(n) < clips[:, None], np.arange(m) < words[:, None]
    first = rng.integers(0, clips)
    span = np.stack([first, rng.integers(first, clips)], -1).astype(np.int32)
    duration = (clips * 1.5).astype(np.float32)
    return Batch(
        video=rng.standard_normal((size, n, spec.video_dim), np.float32) * video_mask[..., None],
        video_mask=video_mask,
        num_clips=clips,
        query=rng.standard_normal((size, m, spec.word_dim), np.float32) * query_mask[..., None],
        query_mask=query_mask,
        duration=duration,
        video_id=np.arange(size, dtype=np.int32),
        query_id=np.arange(size, dtype=np.int32),
        moment=np.stack([span[:, 0], span[:, 1] + 1], -1).astype(np.float32) * 1.5,
        span=span,
        weight=np.ones(size, np.float32),
    )


def example(c, size=4, specs=None):
    """What the loss of `c` takes."""
    specs = specs or SPECS
    batches = {
        role: jax.device_put(batch(specs[role], size, seed))
        for seed, role in enumerate(("source", "target"))
        if role in models.of(c).domains(c)
    }
    return HybridBatch(**batches) if len(batches) == 2 else next(iter(batches.values()))


def system(c, specs=None, seed=0):
    """The system and random parameters, without biases of zero."""
    made = models.make(c, specs or SPECS)
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(made.init, jax.random.key(0), None)
    draw = lambda leaf: 0.35 * rng.standard_normal(leaf.shape, np.float32)  # noqa: E731
    return made, jax.tree.map(lambda leaf: jax.device_put(draw(leaf)), shapes)


def means(made, params, batches, key=None):
    """Each term's mean as a float."""
    key = jax.random.key(0) if key is None else key
    terms = made.loss(params, batches, key, 0).terms
    return {name: total / count for name, (total, count) in terms.items()}


def compare_terms(cases, c, literal, **tolerance):
    """Assert that every term of the system of `cases` equals literal(c, params, batches)'s."""
    made, params = cases.system(c)
    batches = cases.example(c)
    found = jit(lambda p, b: cases.means(made, p, b))(params, batches)
    expected = literal(c, params, batches)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, err_msg=name, **tolerance)


def total(made, params, batches, key=None):
    """The loss."""
    return sum(means(made, params, batches, key).values())


def pad(b, clips=3, words=2):
    """The same pairs with more padding."""
    grow = lambda x, n: np.pad(x, [(0, 0), (0, n)] + [(0, 0)] * (x.ndim - 2))  # noqa: E731
    return b._replace(
        video=grow(b.video, clips),
        video_mask=grow(b.video_mask, clips),
        query=grow(b.query, words),
        query_mask=grow(b.query_mask, words),
    )


def valid_pairs(b):
    """The valid clips and words of each pair, float64."""
    b = jax.tree.map(np.asarray, b)
    return [
        (v[vm].astype(np.float64), q[qm].astype(np.float64))
        for v, vm, q, qm in zip(b.video, b.video_mask, b.query, b.query_mask, strict=True)
    ]


def float64(params):
    """Parameters as float64 NumPy arrays."""
    return jax.tree.map(lambda leaf: np.asarray(leaf).astype(np.float64), params)


def one_step(name):
    """The config, sizes and batch of the smallest form."""
    return config(), SPECS, HybridBatch(**{role: batch(spec) for role, spec in SPECS.items()})
