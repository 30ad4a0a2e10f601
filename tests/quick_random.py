"""Random numbers for the tests that compile in a quarter of the time of JAX's own.

XLA compiles 20 rounds of Threefry for each key that is split or drawn from, a quarter of EVA's
train step. Tests with the fixture quick_random_numbers depend on no number that is drawn.
"""

import functools

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl

_KEY = (0x9E3779B9, 0x85EBCA6B)  # that of which seeds are numbers


def install() -> None:
    """Let `jax.random.key` make keys of `HASH` in this process."""
    jax.random.key = functools.partial(jax.random.key, impl=HASH)


def _mix(x):
    """A bijection of uint32 in which every bit counts for every other (Wellons' lowbias32)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _words(key, numbers):
    """A random word for each number, by a key of two words."""
    return _mix(_mix(numbers ^ key[0]) + key[1])


def _bits(key, width, shape):
    """Random bits: those of the places of an array."""
    places, below = jnp.zeros(shape, jnp.uint32), 1
    for axis in reversed(range(len(shape))):
        places += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * jnp.uint32(below)
        below *= shape[axis]
    return _words(key, places).astype(f"uint{width}")


def _pair(key, number):
    """A key for a number."""
    first = 2 * jnp.asarray(number).astype(jnp.uint32)
    return _words(key, jnp.stack([first, first + 1]))


HASH = define_prng_impl(
    key_shape=(2,),
    seed=lambda seed: _pair(jnp.array(_KEY, jnp.uint32), seed),
    split=lambda key, shape: _bits(key, 32, (*shape, 2)),
    random_bits=_bits,
    fold_in=lambda key, number: _pair(key[::-1], number),
    name="hash",
    tag="hash",
)
