import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.layers.dropout import dropout, position_hash

SHAPE = (64, 50, 40)


def test_rate_scale_and_gradient():
    key = jax.random.key(3)
    out = np.asarray(dropout(key, jnp.ones(SHAPE), 0.1))
    assert set(np.unique(out)) == {np.float32(0), np.float32(1 / 0.9)}
    assert abs((out == 0).mean() - 0.1) < 4 * (0.09 / out.size) ** 0.5
    gradient = jax.grad(lambda x: dropout(key, x, 0.1).sum())(jnp.ones(SHAPE))
    np.testing.assert_array_equal(gradient, out)


def test_without_a_key_or_a_rate_nothing_changes():
    x = jnp.arange(6.0)
    np.testing.assert_array_equal(dropout(None, x, 0.5), x)
    np.testing.assert_array_equal(dropout(jax.random.key(0), x, 0.0), x)


def test_bits_are_uniform_and_independent_of_position_and_key():
    one = np.asarray(position_hash(jax.random.key(0), SHAPE)).ravel()
    two = np.asarray(position_hash(jax.random.key(1), SHAPE)).ravel()
    expected = one.size / 256
    for shift in (0, 8, 16, 24):
        counts = np.bincount((one >> shift) & 255, minlength=256)
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert 255 - 6 * (2 * 255) ** 0.5 < chi_square < 255 + 6 * (2 * 255) ** 0.5
    uniform, other = one / 2**32, two / 2**32
    limit = 5 / one.size**0.5
    for lag in (1, 2, 40, 2000):
        assert abs(np.corrcoef(uniform[:-lag], uniform[lag:])[0, 1]) < limit
    assert abs(np.corrcoef(uniform, other)[0, 1]) < limit
    kept = one < 0.9 * 2**32
    rows = kept.reshape(SHAPE).mean(axis=(1, 2))
    assert abs(rows.std() / (0.09 / 2000) ** 0.5 - 1) < 0.4


def test_keys_of_one_split_share_no_run_of_bits():
    seen = [
        set(np.asarray(position_hash(key, (4096,))).tolist())
        for key in jax.random.split(jax.random.key(7), 8)
    ]
    for i, first in enumerate(seen):
        for second in seen[:i]:
            assert len(first & second) < 5
