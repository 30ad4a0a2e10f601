"""Keys of `jax.random` whose numbers are hashes of places: those of a train step.

XLA compiles 20 rounds of Threefry for each key that is split or drawn from, and on a CPU they pass
over memory twenty times. Here a number is one hash of its place in the array and of the key, which
fuses with what reads it and does not depend on how the array is sharded.

A key is two words of the seed and the step, and two of its path through splits, which are constants
when a program is compiled.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl
from jaxtyping import PRNGKeyArray, UInt32

from vmr_jax.types import AnyArray, Array

_ROOT = np.array([0x9E3779B9, 0x85EBCA6B], np.uint32)  # the path of no split


def step_key(seed: Array | int, step: Array | int) -> PRNGKeyArray:
    """The key of a train step, for `jax.random`: a function of the run's seed and the step."""
    return jax.random.wrap_key_data(_key(_pair(_pair(_ROOT, seed), step)), impl=HASHED)


def _key(base: AnyArray, path: AnyArray = _ROOT) -> Array:
    return jnp.concatenate([jnp.broadcast_to(base, path.shape), path], axis=-1)


def _hash(places: AnyArray, words: AnyArray) -> UInt32[Array, "..."]:
    """The rounds of C. Wellons' lowbias32; the second word enters after the first product."""
    bits = jnp.asarray(places) ^ words[0]
    bits = ((bits ^ (bits >> 16)) * np.uint32(0x7FEB352D)) ^ words[1]
    bits = (bits ^ (bits >> 15)) * np.uint32(0x846CA68B)
    return bits ^ (bits >> 16)


def _pair(words: AnyArray, number: AnyArray | int) -> Array:
    """Two words for a number."""
    first = 2 * jnp.asarray(number).astype(jnp.uint32)
    return _hash(jnp.stack([first, first + 1]), words)


def _bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    """Random bits of `shape`, at most 32 of a number."""
    if width > 32:
        raise ValueError(f"random numbers of a train step have at most 32 bits, not {width}")
    places = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _hash(places, key[:2] ^ key[2:]).astype(f"uint{width}")


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    places = np.arange(2 * math.prod(shape), dtype=np.uint32).reshape(*shape, 2)
    return _key(key[:2], _hash(places, key[2:]))


def _fold_in(key: Array, number: AnyArray | int) -> Array:
    """Another key than those of a split, where the path's words are in their order."""
    return _key(key[:2], _pair(key[:1:-1], number))


HASHED = define_prng_impl(
    key_shape=(4,),
    seed=lambda seed: _key(_pair(_ROOT, seed)),
    split=_split,
    random_bits=_bits,
    fold_in=_fold_in,
    name="hashed",
    tag="hashed",
)
