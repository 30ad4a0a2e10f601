"""Dropout whose random bits are a hash of the element's position and the key.

`jax.random.bernoulli` spends about ten times as long as the rest of a dropout on a CPU, because
Threefry there makes twenty passes over memory. A 32-bit integer hash of the position is one
pass, fuses with the multiplication, and does not depend on how an array is sharded.
"""

import math

import jax
import jax.numpy as jnp

from vmr_jax.types import Array


def dropout(key: Array | None, x: Array, rate: float) -> Array:
    """Zero each element of x with probability `rate` and scale the others by 1 / (1 - rate).

    The identity where `key` is None or `rate` is 0.
    """
    if key is None or rate == 0:
        return x
    kept = position_hash(key, x.shape) < jnp.uint32(round((1 - rate) * 2**32))
    return jnp.where(kept, x * jnp.asarray(1 / (1 - rate), x.dtype), 0)


def position_hash(key: Array, shape: tuple[int, ...]) -> Array:
    """Uniform integers (uint32) of `shape`: a hash of each element's position and the key."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    words = jax.random.key_data(key) if typed else key
    first = _mix(words[0] ^ _mix(words[1] + jnp.uint32(0x9E3779B9)))
    second = _mix(words[1] ^ first)
    position = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _mix(position ^ first, second)


def _mix(bits: Array, between: Array | int = 0) -> Array:
    """The rounds of C. Wellons' lowbias32; `between` enters after the first product."""
    bits = ((bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)) ^ jnp.uint32(between)
    bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
    return bits ^ (bits >> 16)
