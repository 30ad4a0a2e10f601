"""TFDS tables without TensorFlow."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow_datasets as tfds

from vmr_jax.data.tables import store
from vmr_jax.data.tables.store import open_rows, read_rows, write_table


@pytest.fixture
def table(tmp_path):
    schema = {
        "name": tfds.features.Text(),
        "times": tfds.features.Tensor(shape=(None, 2), dtype=np.float32),
        "clips": tfds.features.Tensor(shape=(None, 3), dtype=np.float16, encoding="bytes"),
    }
    records = [
        {
            "name": f"caf\u00e9 {n}",
            "times": np.full((n % 3, 2), n, np.float32),
            "clips": np.full((n + 1, 3), n, np.float16),
        }
        for n in range(40)
    ]
    write_table(tmp_path, "toys", schema, {"even": records[::2], "odd": iter(records[1::2])})
    return tmp_path, records


def test_rows_keep_their_order(table, monkeypatch):
    monkeypatch.setattr(store, "_BLOCK", 7)
    directory, records = table
    read = open_rows(directory, "odd")
    every = list(read_rows(directory, "odd"))
    assert len(every) == 20
    for row, record in enumerate(records[1::2]):
        fields = read(row)
        assert fields["clips"] == every[row]["clips"]
        assert fields["name"].bytes_list.value[0].decode() == record["name"]
        clips = np.frombuffer(fields["clips"].bytes_list.value[0], np.float16)
        np.testing.assert_array_equal(clips, record["clips"].ravel())


def test_tfds_reads_it_too(table):
    directory, records = table
    source = tfds.builder_from_directory(directory).as_data_source("even")
    assert len(source) == 20
    for record, wanted in zip(source, records[::2], strict=True):
        assert record["name"].decode() == wanted["name"]
        np.testing.assert_array_equal(record["times"], wanted["times"])
        np.testing.assert_array_equal(record["clips"], wanted["clips"])
    assert "tensorflow" not in sys.modules


def test_threads_may_read(table):
    directory, records = table
    read = open_rows(directory, "even")
    with ThreadPoolExecutor(8) as pool:
        names = list(pool.map(lambda row: read(row % 20)["name"].bytes_list.value[0], range(400)))
    assert names == [record["name"].encode() for record in records[::2]] * 20


def test_damaged_files_say_what_to_do(table):
    directory, _ = table
    path = directory / "toys-even.array_record-00000-of-00001"
    path.write_bytes(path.read_bytes()[:500])
    read = open_rows(directory, "even")
    with pytest.raises(ValueError, match=r"even, record 3 cannot be read .* with --overwrite"):
        read(3)
    with pytest.raises(ValueError, match=r"even, from record 0 on cannot be read"):
        list(read_rows(directory, "even"))
    with pytest.raises(ValueError, match=r"third cannot be read .*build it again"):
        open_rows(directory, "third")
