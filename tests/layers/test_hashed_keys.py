import itertools

import jax
import numpy as np
import pytest

from vmr_jax.layers.hashed_keys import HASHED, step_key

SHAPE = (64, 50, 40)
LIMIT = 5 / np.prod(SHAPE) ** 0.5  # of a correlation by chance


def bits(key):
    return np.asarray(jax.random.bits(key, SHAPE)).ravel()


def correlation(x, y):
    return abs(np.corrcoef(x / 2**32, y / 2**32)[0, 1])


def related():
    """Keys of one split and of splits of them, and those at the same places in other steps."""
    keys = []
    for seed, step in ((0, 0), (0, 1), (1, 0), (0, 2**30)):
        first, second, third = jax.random.split(step_key(seed, step), 3)
        keys += [first, second, *jax.random.split(third), jax.random.fold_in(third, 1)]
        keys += [*jax.random.split(jax.random.split(first)[1])]
    return keys


def test_bits_are_uniform_and_independent_of_position():
    one = bits(step_key(0, 0))
    expected = one.size / 256
    for shift in (0, 8, 16, 24):
        counts = np.bincount((one >> shift) & 255, minlength=256)
        chi_square = ((counts - expected) ** 2 / expected).sum()
        assert 255 - 6 * (2 * 255) ** 0.5 < chi_square < 255 + 6 * (2 * 255) ** 0.5
    for lag in (1, 2, 40, 2000):
        assert correlation(one[:-lag], one[lag:]) < LIMIT
    kept = one < 0.9 * 2**32
    rows = kept.reshape(SHAPE).mean(axis=(1, 2))
    assert abs(rows.std() / (0.09 / 2000) ** 0.5 - 1) < 0.4


def test_related_keys_draw_independent_bits():
    drawn = np.stack([bits(key) for key in related()])
    for numbers in (drawn, drawn < 0.9 * 2**32):
        both = np.concatenate([numbers, np.roll(numbers, 1, axis=1)]).astype(np.float32)
        found = np.abs(np.corrcoef(both, dtype=np.float32))
        assert (found[~np.eye(len(found), dtype=bool)] < LIMIT).all()
    runs = [set(numbers[:4096].tolist()) for numbers in drawn]
    assert all(len(one & two) < 5 for one, two in itertools.combinations(runs, 2))


def test_keys_differ():
    words = [tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in related()]
    paths = jax.random.key_data(jax.random.split(step_key(3, 4), 5000))
    assert len(set(words)) == len(words)
    assert len(np.unique(paths, axis=0)) == len(paths)


def test_a_draw_does_not_depend_on_how_it_is_compiled():
    key = step_key(5, 6)
    same = jax.jit(lambda seed, step: jax.random.bits(jax.random.split(step_key(seed, step))[1]))
    assert same(np.uint32(5), np.int32(6)) == jax.random.bits(jax.random.split(key)[1])


def test_numbers_of_64_bits_are_refused():
    with jax.enable_x64(True), pytest.raises(ValueError, match="at most 32 bits, not 64"):
        jax.random.bits(jax.random.key(0, impl=HASHED), (2,), "uint64")
