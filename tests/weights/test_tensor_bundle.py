"""TensorFlow's checkpoints: DeepMind's index, and a small checkpoint with its numbers."""

import os
from pathlib import Path

import numpy as np
import pytest

from vmr_jax.weights import tensor_bundle
from vmr_jax.weights.tensors import read_tensors

TENSORS = {
    "RGB/beta": np.arange(3, dtype=np.float32),
    "RGB/beta/step": np.array(7, np.int64),
    "RGB/w": np.arange(600, dtype=np.float32).reshape(2, 300),
}


def varint(value):
    head = bytes([value & 127 | 128 * (value > 127)])
    return head + varint(value >> 7) if value > 127 else head


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def block(entries):
    """Keys and values, of which each key but the first shares what it can."""
    data, before = b"", b""
    for key, value in entries:
        shared = len(os.path.commonprefix([before, key]))
        data += varint(shared) + varint(len(key) - shared) + varint(len(value))
        data += key[shared:] + value
        before = key
    return data + bytes(4) + (1).to_bytes(4, "little")


def write_checkpoint(folder, shards=1, compressed=0, kinds=(), header=b""):
    """A checkpoint in two blocks; its index."""
    numbers, entries = b"", [(b"", field(1, shards) + header)]
    for name, array in TENSORS.items():
        kind = dict(kinds).get(name, {"f": 1, "i": 9}[array.dtype.kind])
        shape = b"".join(field(2, field(1, size)) for size in array.shape)
        entry = field(1, kind) + field(2, shape) + field(4, len(numbers))
        entry += field(5, array.nbytes) + varint(6 << 3 | 5) + bytes(4)
        entries.append((name.encode(), entry))
        numbers += array.tobytes()
    table, handles = b"", []
    for part in (entries[:2], entries[2:]):
        handles.append((part[-1][0], varint(len(table)) + varint(len(block(part)))))
        table += block(part) + bytes([compressed]) + bytes(4)
    index = varint(len(table)) + varint(len(block(handles)))
    table += block(handles) + bytes(5)
    footer = (bytes(2) + index).ljust(40, b"\0") + tensor_bundle._MAGIC
    (folder / "model.ckpt.index").write_bytes(table + footer)
    (folder / "model.ckpt.data-00000-of-00001").write_bytes(numbers)
    return folder / "model.ckpt.index"


def test_tensors_have_their_names_shapes_and_numbers(tmp_path):
    found = read_tensors(write_checkpoint(tmp_path))
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shards": 2**40}, "are missing: no model.ckpt.data-00000-of-1099511627776 beside it"),
        ({"compressed": 1}, "its index is compressed"),
        ({"kinds": [("RGB/w", 7)]}, "RGB/w is not a plain tensor of numbers"),
        ({"kinds": [("RGB/w", 2)]}, r"RGB/w has not the numbers of its shape \(2, 300\)"),
        ({"header": field(2, 1)}, "its numbers are not little-endian"),
    ],
)
def test_what_is_not_read_is_said(tmp_path, changes, message):
    path = write_checkpoint(tmp_path, **changes)
    with pytest.raises(ValueError, match=f"model.ckpt.index: refused to read it: .*{message}"):
        read_tensors(path)


def test_damage_is_an_error_of_one_line(tmp_path):
    path = write_checkpoint(tmp_path)
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole) - 8)] = rng.integers(256)
        path.write_bytes(bytes(damaged))
        try:
            read_tensors(path)
        except ValueError as error:
            assert "\n" not in str(error)


def test_deepmind_s_index_is_read_as_its_table_says():
    folder = Path(os.environ.get("VMR_DATA_DIR", "none")) / "i3d/checkpoints/rgb_imagenet"
    if not folder.is_dir():
        pytest.skip("no i3d/checkpoints in VMR_DATA_DIR")
    entries = tensor_bundle._entries((folder / "model.ckpt.index").read_bytes())
    table = (folder / "variables.derived.tsv").read_text().splitlines()[1:]
    assert len(entries) == 1 + len(table) == 231
    for name, _, shape, offset, size, _ in (line.split("\t") for line in table):
        entry = dict(tensor_bundle._fields(entries[name]))
        dims = [dict(tensor_bundle._fields(dim))[1] for _, dim in tensor_bundle._fields(entry[2])]
        assert "x".join(map(str, dims)) == shape
        assert (entry.get(4, 0), entry[5]) == (int(offset), int(size))
