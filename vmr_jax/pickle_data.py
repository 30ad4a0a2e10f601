"""Data out of pickles without unpickling: opcodes are read, plain values rebuilt, nothing is run.

A pickle is a program. Here only its data are followed: numbers, texts, bytes, tuples, lists, dicts,
and the few globals that a caller gives a plain function for. NumPy arrays are rebuilt from their
(shape, dtype text, raw bytes) by `ARRAYS`, never by NumPy's own state setters, which crash the
process on forged states.
"""

import math
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np

Builder = Callable[..., Any]  # the arguments of the call in the pickle -> a value
_DTYPES = {
    f"{kind}{size}"
    for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "b": (1,)}.items()
    for size in sizes
}
_PUSHED = {  # opcodes whose argument is the value
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4",
    "FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING",
    "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
}  # fmt: skip
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_MARK = object()


class Global(NamedTuple):
    """A name that a pickle asks for."""

    module: str
    name: str


class Stub:
    """An object that the pickle describes: its class, and the state that it is given."""

    def __init__(self, made_by: Global, arguments: tuple):
        self.made_by, self.arguments, self.state = made_by, arguments, None


def read_pickle(
    data: bytes | BinaryIO,
    builders: Mapping[tuple[str, str], Builder],
    *,
    objects: Callable[[str, str], bool] = lambda module, name: False,
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """The value that a pickle holds; a file is read up to the end of the pickle.

    `builders` maps (module, name) to what is called in the place of that global; `objects` tells
    of which other globals a Stub with its state is made; `persistent` makes the value of a
    persistent id. Raises ValueError for a pickle that is damaged, asks for another global, or has
    an opcode that data do not need.
    """
    machine = _Machine(builders, objects, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(data):
            if opcode.name == "STOP":
                return machine.finished()
            machine.step(opcode.name, argument)
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeError) as error:
        raise ValueError(f"the pickle is damaged ({error!r})") from error
    raise ValueError("the pickle is cut off")


class _Machine:
    """The stack and memo of a pickle; every opcode that data need is a branch of `step`."""

    def __init__(self, builders, objects, persistent):
        self._builders, self._objects, self._persistent = builders, objects, persistent
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def finished(self) -> Any:
        """The only value that is left."""
        if len(self._stack) != 1:
            raise ValueError("the pickle is damaged: it leaves more than one value")
        return self._stack[0]

    def step(self, name: str, argument: Any) -> None:
        """Follow one opcode. Raises ValueError for one that data do not need."""
        stack = self._stack
        if name in _PUSHED:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("PROTO", "FRAME"):
            pass
        elif name == "MARK":
            stack.append(_MARK)
        elif name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT"):
            self._memo[len(self._memo) if name == "MEMOIZE" else int(argument)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self._memo[int(argument)])
        elif name == "POP":
            stack.pop()
        elif name == "POP_MARK":
            self._marked()
        elif name == "DUP":
            stack.append(stack[-1])
        elif name in ("GLOBAL", "STACK_GLOBAL"):
            stack.append(self._global(argument))
        elif name in ("BINPERSID", "PERSID"):
            self._persist(stack.pop() if name == "BINPERSID" else argument)
        elif name in ("REDUCE", "NEWOBJ", "BUILD"):
            second = stack.pop()
            stack.append(self._made(stack.pop(), second, name))
        else:
            self._collect(name)

    def _collect(self, name: str) -> None:
        """Tuples, lists and dicts."""
        stack = self._stack
        if name in ("EMPTY_LIST", "EMPTY_TUPLE", "EMPTY_DICT"):
            stack.append({"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict}[name]())
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            if len(stack) < count:
                raise ValueError("the pickle is damaged: a tuple lacks values")
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("TUPLE", "LIST"):
            values = self._marked()
            stack.append(tuple(values) if name == "TUPLE" else values)
        elif name in ("APPEND", "APPENDS"):
            values = [stack.pop()] if name == "APPEND" else self._marked()
            _of_kind(stack[-1], list).extend(values)
        elif name in ("SETITEM", "SETITEMS", "DICT"):
            if name == "SETITEM":
                value, key = stack.pop(), stack.pop()
                values = [key, value]
            else:
                values = self._marked()
            if name == "DICT":
                stack.append({})
            _of_kind(stack[-1], dict).update(zip(values[::2], values[1::2], strict=True))
        else:
            raise ValueError(f"it has the opcode {name}, which data do not need")

    def _marked(self) -> list[Any]:
        """What lies above the last mark, taken off with it."""
        place = len(self._stack) - 1
        while self._stack[place] is not _MARK:  # by identity: arrays compare element by element
            place -= 1
            if place < 0:
                raise ValueError("the pickle is damaged: a mark is missing")
        values = self._stack[place + 1 :]
        del self._stack[place:]
        return values

    def _global(self, argument: str | None) -> Global:
        if argument is None:
            name, module = self._stack.pop(), self._stack.pop()
        else:
            module, _, name = argument.partition(" ")
        found = Global(_of_kind(module, str), _of_kind(name, str))
        if found not in self._builders and not self._objects(*found):
            raise ValueError(f"its pickle asks for {module}.{name}, which these data do not need")
        return found

    def _persist(self, pid: Any) -> None:
        if self._persistent is None:
            raise ValueError("it has persistent ids, which these data do not need")
        self._stack.append(self._persistent(pid))

    def _made(self, first: Any, second: Any, how: str) -> Any:
        """A call, a new object, or an object with its state."""
        if how == "BUILD":
            if isinstance(first, DType | Array):
                first.set_state(second)
            elif isinstance(first, Stub):
                first.state = second
            elif not isinstance(first, dict):
                raise ValueError(f"it gives a state to a {type(first).__name__}")
            return first
        if not isinstance(first, Global):
            raise ValueError(f"it calls a {type(first).__name__}")
        arguments = _of_kind(second, tuple)
        if first in self._builders:
            return self._builders[first](*arguments)
        return Stub(first, arguments)


def _of_kind(value: Any, kind: type) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"the pickle is damaged: a {kind.__name__} is a {type(value).__name__}")
    return value


class DType:
    """A NumPy dtype as its text: plain numbers in a byte order."""

    def __init__(self, text: str, *_: Any):
        if not isinstance(text, str) or text.lstrip("<>=|") not in _DTYPES:
            raise ValueError(f"it has arrays of {text!r}, not of plain numbers")
        self.text = text

    def set_state(self, state: Any) -> None:
        """Take the byte order of (version, order, None, None, None, -1, -1, 0); nothing else."""
        if not isinstance(state, tuple) or len(state) < 5 or state[1] not in tuple("<>=|"):
            raise ValueError("it has a dtype with a forged state")
        if any(part is not None for part in state[2:5]) or any(state[7:]):
            raise ValueError("it has a dtype with a forged state")
        self.text = state[1] + self.text.lstrip("<>=|")


class Array:
    """A NumPy array as shape, dtype and bytes, before it is one."""

    def __init__(self, *_: Any):
        self.values = np.zeros(0, np.float32)

    def set_state(self, state: Any) -> None:
        """Make the array of (version, shape, dtype, is Fortran, raw bytes)."""
        shape, dtype, fortran, raw = _of_kind(state, tuple)[-4:]
        dtype = np.dtype(_of_kind(dtype, DType).text)
        raw = _from_text(raw, "latin1") if isinstance(raw, str) else _of_kind(raw, bytes)
        shape = tuple(_of_kind(size, int) for size in _of_kind(shape, tuple))
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(raw):
            raise ValueError(f"it has an array of shape {shape} with {len(raw)} bytes")
        values = np.frombuffer(raw, dtype)
        self.values = values.reshape(shape, order="F" if fortran else "C")


def plain(value: Any) -> Any:
    """The NumPy array of an Array; any other value as it is."""
    return value.values if isinstance(value, Array) else value


def _from_text(text: str, encoding: str) -> bytes:
    """Bytes that Python 2 or protocol 2 wrote as text."""
    if encoding not in ("latin1", "latin-1"):
        raise ValueError(f"it has bytes in the encoding {encoding!r}")
    return _of_kind(text, str).encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    """What protocols before 3 write for b""."""
    if arguments:
        raise ValueError("it makes bytes of something else")
    return b""


def _scalar(dtype: DType, raw: bytes) -> Any:
    return np.frombuffer(_of_kind(raw, bytes), np.dtype(_of_kind(dtype, DType).text), count=1)[0]


def _arrays(package: str) -> dict[tuple[str, str], Builder]:
    return {
        (f"{package}.multiarray", "_reconstruct"): lambda *_: Array(),
        (f"{package}.multiarray", "scalar"): _scalar,
        (f"{package}.numeric", "_frombuffer"): _from_buffer,
    }


def _from_buffer(raw: bytes, dtype: DType, shape: tuple, order: str) -> Array:
    array = Array()
    array.set_state((1, shape, dtype, order == "F", bytes(raw)))
    return array


# What NumPy arrays are made of, of any version.
ARRAYS: dict[tuple[str, str], Builder] = {
    ("numpy", "dtype"): DType,
    ("numpy", "ndarray"): lambda *_: Array(),
    ("_codecs", "encode"): _from_text,
    ("builtins", "bytes"): _no_bytes,
    ("__builtin__", "bytes"): _no_bytes,
    **_arrays("numpy.core"),
    **_arrays("numpy._core"),
}
