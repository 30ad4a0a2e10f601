"""A program of random numbers that is traced by JAX and run by NumPy: first parameters.

To compile what draws a network's parameters costs as much as its train step, twenty rounds of
Threefry for each array, and it runs once. Here the traced operations that initializers are made
of are NumPy's, which takes milliseconds, and any other is run by JAX alone. An operation is run
when its outcome is asked for: the pass through the network that Flax traces with them never is.

Keys are JAX's threefry2x32, each as one uint64 of its two words, and what is drawn are the numbers
of `jax.random`. Where XLA rounds a product and a sum once, or multiplies two constants first, the
last bit differs.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal, jaxpr_as_fun

_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_WORD = np.uint64(32)
_BLOCK = 1 << 15  # numbers that are drawn at a time, so that they stay in a core's cache
_LARGE = 1 << 20  # numbers

Later = Callable[[], np.ndarray]  # what is computed when it is asked for


def run_on_host(make: Callable[[], Any]) -> Any:
    """What a function of no arguments gives when it is traced, as NumPy arrays."""
    program = jax.jit(make).trace()
    with np.errstate(over="ignore"), jax.default_device(_host()):
        leaves = [leaf() for leaf in _results(program.jaxpr, [])]
    return jax.tree.unflatten(jax.tree.structure(program.out_info), leaves)


def _host() -> Any:
    """The device whose operations round alike on every machine; None where JAX may use no CPU."""
    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


def threefry(key: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Threefry-2x32 (Salmon et al., 2011) of keys and counts, uint64 of two words each.

    Their shapes broadcast; the outcome is uint64 of two words as well.
    """
    words = [(key >> _WORD).astype(np.uint32), key.astype(np.uint32)]
    words.append(words[0] ^ words[1] ^ np.uint32(0x1BD11BDA))
    first = (count >> _WORD).astype(np.uint32) + words[0]
    second = count.astype(np.uint32) + words[1]
    for turn in range(5):
        for by in _ROTATIONS[turn % 2]:
            first = first + second
            second = first ^ ((second << np.uint32(by)) | (second >> np.uint32(32 - by)))
        first = first + words[(turn + 1) % 3]
        second = second + words[(turn + 2) % 3] + np.uint32(turn + 1)
    return (first.astype(np.uint64) << _WORD) | second


def _draw(keys: np.ndarray, *, shape: Sequence[int], keep: Callable = np.asarray) -> np.ndarray:
    """What `keep` leaves of Threefry of each key and of each place in an array of `shape`."""
    size = math.prod(shape)
    starts = range(0, max(size, 1), _BLOCK)
    places = (np.arange(i, min(i + _BLOCK, size), dtype=np.uint64) for i in starts)
    drawn = [keep(threefry(keys[..., None], block)) for block in places]
    return np.concatenate(drawn, axis=-1).reshape((*keys.shape, *shape))


def _bits(keys: np.ndarray, *, bit_width: int, shape: Sequence[int]) -> np.ndarray:
    def keep(both: np.ndarray) -> np.ndarray:
        return both if bit_width == 64 else ((both >> _WORD) ^ both).astype(f"uint{bit_width}")

    return _draw(keys, shape=shape, keep=keep)


def _seed(number: np.ndarray) -> np.ndarray:
    return number.astype(np.uint32).astype(np.uint64)


def _erf_inv(x: np.ndarray) -> np.ndarray:
    """JAX's, of blocks of one length, so that it is compiled once."""
    flat, found = x.ravel(), np.empty(x.size, x.dtype)
    for start in range(0, x.size, _BLOCK):
        part, block = flat[start : start + _BLOCK], np.zeros(_BLOCK, x.dtype)
        block[: len(part)] = part
        found[start : start + _BLOCK] = np.asarray(jax.lax.erf_inv(block))[: len(part)]
    return found.reshape(x.shape)


def _broadcast(x: np.ndarray, *, shape, broadcast_dimensions, **_) -> np.ndarray:
    own = [1] * len(shape)
    for axis, size in zip(broadcast_dimensions, x.shape, strict=True):
        own[axis] = size
    return np.broadcast_to(x.reshape(own), shape)


def _slice(x: np.ndarray, *, start_indices, limit_indices, strides) -> np.ndarray:
    return x[tuple(map(slice, start_indices, limit_indices, strides or (1,) * x.ndim))]


_BY_NUMPY: dict[str, Callable[..., Any]] = {
    "add": lambda x, y, **_: x + y,
    "bitcast_convert_type": lambda x, *, new_dtype: x.view(new_dtype),
    "broadcast_in_dim": _broadcast,
    "convert_element_type": lambda x, *, new_dtype, **_: x.astype(new_dtype),
    "copy": lambda x: x,
    "div": lambda x, y, **_: x / y,
    "erf_inv": _erf_inv,
    "max": lambda x, y: np.maximum(x, y),
    "min": lambda x, y: np.minimum(x, y),
    "mul": lambda x, y, **_: x * y,
    "or": lambda x, y: x | y,
    "random_bits": _bits,
    "random_clone": lambda key: key,
    "random_fold_in": lambda key, number: threefry(key, _seed(number)),
    "random_seed": lambda number, **_: _seed(number),
    "random_split": _draw,
    "reshape": lambda x, *, new_sizes, **_: x.reshape(new_sizes),
    "shift_right_logical": lambda x, y: x >> y,
    "slice": _slice,
    "sqrt": lambda x, **_: np.sqrt(x),
    "squeeze": lambda x, *, dimensions: np.squeeze(x, dimensions),
    "sub": lambda x, y, **_: x - y,
}
_CALLS = ("jit", "pjit", "remat2", "checkpoint")


def _results(program: ClosedJaxpr | Jaxpr, arguments: Sequence[Later]) -> list[Later]:
    """The outcomes of a traced program."""
    jaxpr, consts = (
        (program.jaxpr, program.consts) if isinstance(program, ClosedJaxpr) else (program, ())
    )
    known = dict(zip(jaxpr.invars, arguments, strict=True))
    for variable, const in zip(jaxpr.constvars, consts, strict=True):
        known[variable] = functools.partial(_for_numpy, const, variable.aval)

    def read(atom: Any) -> Later:
        if isinstance(atom, Literal):
            return functools.partial(_for_numpy, atom.val, atom.aval)
        return known[atom]

    for eqn in jaxpr.eqns:
        found = _outcomes(jaxpr, eqn, [read(x) for x in eqn.invars])
        known |= dict(zip(eqn.outvars, found, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _outcomes(jaxpr: Jaxpr, eqn: JaxprEqn, arguments: list[Later]) -> list[Later]:
    """The outcomes of one operation of a program."""
    if eqn.primitive.name in _CALLS:
        return _results(eqn.params["jaxpr"], arguments)
    if eqn.primitive.name == "scan":
        return _scan(eqn.params, arguments)
    found = _kept(lambda: _run(jaxpr, eqn, [argument() for argument in arguments]))
    return [lambda place=place: found()[place] for place in range(len(eqn.outvars))]


def _kept(compute: Callable[[], list[np.ndarray]]) -> Callable[[], list[np.ndarray]]:
    """Compute once; large arrays each time, since they would pile up in memory."""
    kept = []

    def outcomes() -> list[np.ndarray]:
        found = kept or compute()
        if not kept and sum(array.size for array in found) <= _LARGE:
            kept.extend(found)
        return found

    return outcomes


def _scan(params: dict[str, Any], arguments: list[Later]) -> list[Later]:
    """The last carry and the stacked outcomes of a scan over the leading axis."""
    if "ft_in" in params:  # since JAX 0.12
        consts, carry, rows = map(list, params["ft_in"].update(arguments).unpack())
    else:
        fixed, end = params["num_consts"], params["num_consts"] + params["num_carry"]
        consts, carry, rows = arguments[:fixed], arguments[fixed:end], arguments[end:]
    stacks: list[list[Later]] = []
    steps = range(params["length"])
    for step in reversed(steps) if params["reverse"] else steps:
        row = [lambda rows=rows, step=step: rows()[step] for rows in rows]
        found = _results(params["jaxpr"], [*consts, *carry, *row])
        carry = found[: len(carry)]
        stacks.append(found[len(carry) :])
    ordered = stacks[::-1] if params["reverse"] else stacks
    stacked = [
        lambda part=part: np.stack([x() for x in part]) for part in zip(*ordered, strict=True)
    ]
    return carry + stacked


def _run(jaxpr: Jaxpr, eqn: JaxprEqn, arguments: list[np.ndarray]) -> list[np.ndarray]:
    """The outcomes of an operation of a program on arrays."""
    by_numpy = _BY_NUMPY.get(eqn.primitive.name)
    if by_numpy:
        return [np.asarray(by_numpy(*arguments, **eqn.params))]
    pairs = zip(eqn.invars, arguments, strict=True)
    given = {x: _for_jax(value, x.aval) for x, value in pairs if not isinstance(x, Literal)}
    alone = jaxpr.replace(constvars=[], invars=list(given), outvars=eqn.outvars, eqns=[eqn])
    return [_for_numpy(x, x) for x in jaxpr_as_fun(ClosedJaxpr(alone, ()))(*given.values())]


def _for_jax(x: np.ndarray, like: Any) -> Any:
    """An array as JAX takes it, of keys where it stands for such."""
    if not jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return x
    words = np.stack([x >> _WORD, x & np.uint64(0xFFFFFFFF)], axis=-1).astype(np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(words), impl="threefry2x32")


def _for_numpy(x: Any, like: Any) -> np.ndarray:
    """An array of JAX's, of the dtype of `like`; keys as uint64."""
    if not jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return np.asarray(x, like.dtype)
    words = np.asarray(jax.random.key_data(x)).astype(np.uint64)
    return (words[..., 0] << _WORD) | words[..., 1]
