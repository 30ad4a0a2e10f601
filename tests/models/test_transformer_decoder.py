import jax
import jax.numpy as jnp
import numpy as np

from tests.gradients import check_gradients
from vmr_jax.models.vdi.transformer_decoder import QueryDecoder

OWNER = np.array([1, 0, 1])
DECODER = QueryDecoder(width=8, heads=2, hidden=12)
APPLY = jax.jit(DECODER.apply)


def _case():
    rng = np.random.default_rng(0)
    x, memory = rng.standard_normal((3, 8)), rng.standard_normal((2, 4, 5))
    x, memory = x.astype(np.float32), memory.astype(np.float32)
    shapes = jax.eval_shape(DECODER.init, jax.random.key(0), x, memory, OWNER)["params"]
    draw = lambda leaf: 0.5 * rng.standard_normal(leaf.shape).astype(np.float32)  # noqa: E731
    return jax.tree.map(draw, shapes), x, memory


def _reference(p, x, memory):
    """The block for one query (D,) and its memory (N, F), in float64."""
    p, x, memory = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), (p, x, memory))
    linear = lambda name, rows: rows @ p[name]["kernel"] + p[name]["bias"]  # noqa: E731

    def norm(name, rows):
        rows = (rows - rows.mean()) / np.sqrt(rows.var() + 1e-5)
        return rows * p[name]["scale"] + p[name]["bias"]

    x = norm("norm1", x + linear("self_out", linear("self_value", x)))
    query, keys, values = linear("query", x), linear("key", memory), linear("value", memory)
    mixed = []
    for head in (slice(0, 4), slice(4, 8)):
        score = np.exp(keys[:, head] @ query[head] / 2)
        mixed.append(score / score.sum() @ values[:, head])
    x = norm("norm2", x + linear("out", np.concatenate(mixed)))
    return norm("norm3", x + linear("fc2", np.maximum(linear("fc1", x), 0)))


def test_the_block_is_the_reference_of_each_query_and_its_memory():
    params, x, memory = _case()
    found = APPLY({"params": params}, x, memory, OWNER)
    expected = [_reference(params, x[i], memory[OWNER[i]]) for i in range(3)]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_dropout_needs_a_key():
    params, x, memory = _case()
    run = jax.jit(QueryDecoder(8, 2, 12, dropout=0.5).apply)
    plain = run({"params": params}, x, memory, OWNER)
    np.testing.assert_allclose(plain, APPLY({"params": params}, x, memory, OWNER), 1e-5)
    one, two = (
        run({"params": params}, x, memory, OWNER, k) for k in jax.random.split(jax.random.key(0))
    )
    assert not np.allclose(one, two) and not np.allclose(one, plain)


def test_gradients_and_bfloat16():
    params, x, memory = _case()
    loss = lambda p, x, m: jnp.sum(jnp.sin(DECODER.apply({"params": p}, x, m, OWNER)))  # noqa: E731
    check_gradients(loss, (params, x, memory), rtol=2e-2, atol=2e-2, eps=1e-3)
    half = jax.jit(QueryDecoder(8, 2, 12, dtype=jnp.bfloat16).apply)(
        {"params": params}, x, memory, OWNER
    )
    assert half.dtype == jnp.float32
    np.testing.assert_allclose(half, APPLY({"params": params}, x, memory, OWNER), atol=0.2)
