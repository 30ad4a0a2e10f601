import io
import pickle
import pickletools

import numpy as np
import pytest

from vmr_jax.pickle_data import ARRAYS, plain, read_pickle


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3)),
        np.array([True, False]),
        np.zeros((0, 4), np.int64),
    ],
)
def test_arrays_of_every_protocol(array, protocol):
    found = plain(read_pickle(pickle.dumps(array, protocol), ARRAYS))
    np.testing.assert_array_equal(found, array)
    assert found.shape == array.shape


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_of_every_protocol(protocol):
    shared = [1, 2]
    value = {
        "numbers": [0, -5, 2**70, 1.5, True, False, None],
        "texts": ("a", "größer", b"\x00\xff", ""),
        "same": [shared, shared],
        3: {"deep": {"deeper": (1, 2, 3, 4)}},
        "scalar": np.float64(2.5),
    }
    assert read_pickle(pickle.dumps(value, protocol), ARRAYS) == value


def _dtype(state: tuple) -> bytes:
    """A pickle of a float32 dtype with a state of its own, as protocol 2 writes it."""
    body = pickle.dumps(state, 2)[2:-1]
    return b"\x80\x02cnumpy\ndtype\nX\x02\x00\x00\x00f4K\x00K\x01\x87R" + body + b"b."


@pytest.mark.parametrize(
    "state",
    [
        (3, "<", None, None, None, -1, -1, 63),  # forged flags: NumPy would follow object pointers
        (3, "<", ("f4", (2,)), None, None, -1, -1, 0),
        (3, "<", None, ("x",), {"x": 1}, -1, -1, 0),
        (3, "|O", None, None, None, -1, -1, 0),
        ("x",),
        7,
    ],
)
def test_a_forged_dtype_is_refused(state):
    pickletools.dis(_dtype(state), out=io.StringIO())  # it is a pickle
    with pytest.raises(ValueError, match="forged state"):
        read_pickle(_dtype(state), ARRAYS)


@pytest.mark.parametrize("kind", ["O", "V8", "U4", "M8", "f4,f4", "object"])
def test_arrays_of_anything_but_numbers_are_refused(kind):
    data = b"\x80\x02cnumpy\ndtype\nX" + len(kind).to_bytes(4, "little") + kind.encode()
    with pytest.raises(ValueError, match="not of plain numbers"):
        read_pickle(data + b"K\x00K\x01\x87R.", ARRAYS)


def test_an_array_that_claims_more_than_it_has_is_refused():
    data = pickle.dumps(np.zeros(4, np.float32), 2).replace(b"K\x04\x85", b"K\x08\x85")
    with pytest.raises(ValueError, match=r"shape \(8,\) with 16 bytes"):
        read_pickle(data, ARRAYS)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"cposix\nsystem\n(S'echo'\ntR.", "asks for posix.system"),
        (b"\x80\x04\x8c\x05posix\x8c\x06system\x93.", "asks for posix.system"),
        (b"\x80\x04K\x01", "cut off|exhausted"),
        (b"", "cut off|exhausted"),
        (b"K\x01K\x02.", "more than one value"),
        (b"h\x05.", "damaged"),
        (b"t.", "damaged"),
        (b"K\x01K\x02R.", "calls a int"),
        (b"\x80\x04\x8f.", "opcode EMPTY_SET"),
        (b"K\x01Q.", "persistent ids"),
        (b"]K\x01K\x02b.", "gives a state to a int"),
        (b"X\xff\xff\xff\x7fabc.", "expected|damaged"),
    ],
)
def test_what_is_no_data_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        read_pickle(data, ARRAYS)
