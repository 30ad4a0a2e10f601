"""Noun chunks on disk, and in the loaded dataset."""

import numpy as np
import pytest

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.chunk_table import write_chunks
from vmr_jax.data.tables.dataset import load_dataset

CHUNKS = {
    "train": [np.array([[0, 5], [12, 17]]), np.zeros((0, 2), int), np.array([[0, 5]])],
    "test": [np.array([[0, 2]])],
}


def annotations(first="a dog chases a cat"):
    records = [
        MomentRecord("q0", "v0", first, np.array([[1.0, 2.0]])),
        MomentRecord("q1", "gone", "runs", np.array([[0.0, 1.0]])),
        MomentRecord("q2", "v1", "a dog.", np.array([[0.0, 4.0]])),
    ]
    hidden = [MomentRecord("q3", "", "it runs", np.zeros((0, 2)))]
    splits = {"train": records, "test": hidden}
    return Annotations("toys", splits, {"v0": 5.0, "v1": 8.0, "gone": 3.0}, [], {})


@pytest.fixture
def data_dir(tmp_path):
    features = {"v0": np.ones((3, 2)), "v1": np.ones((4, 2))}
    write_dataset(
        tmp_path, annotations(), from_arrays(features), "f", {"a": np.ones(2)}, drop_missing=True
    )
    return tmp_path


def load(data_dir, **options):
    return load_dataset(data_dir, "toys", "f", **options)


def test_chunks_stand_with_their_queries(data_dir):
    report = write_chunks(data_dir, annotations(), CHUNKS, "rules")
    counts = ("queries", "chunks", "without_static", "without_dynamic")
    assert [report[name] for name in counts] == [4, 4, 1, 1]
    train = load(data_dir, with_chunks=True).splits["train"]
    assert train.query_id == ("q0", "q2")
    assert [chunks.tolist() for chunks in train.chunks] == [[[0, 5], [12, 17]], [[0, 5]]]
    assert all(chunks.dtype == np.int32 for chunks in train.chunks)
    assert load(data_dir).splits["train"].chunks is None
    assert load(data_dir).fingerprint != load(data_dir, with_chunks=True).fingerprint


def test_datasets_without_chunks_stay_readable_and_say_the_command(data_dir):
    assert load(data_dir).splits["test"].chunks is None
    message = r"noun chunks of toys in .* not prepared.*\n  vmr prepare jsonl --name toys .*spacy\n"
    with pytest.raises(FileNotFoundError, match=message + r"\(or --noun-chunks rules, an approx"):
        load(data_dir, with_chunks=True)


def test_other_chunks_are_refused_unless_overwritten(data_dir):
    first = write_chunks(data_dir, annotations(), CHUNKS, "rules")
    path = data_dir / "toys/chunks/spans.json"
    written = path.stat().st_mtime_ns
    assert write_chunks(data_dir, annotations(), CHUNKS, "rules") == first
    assert path.stat().st_mtime_ns == written
    other = CHUNKS | {"test": [np.zeros((0, 2), int)]}
    with pytest.raises(ValueError, match="chunks was built from other queries or noun chunks; --o"):
        write_chunks(data_dir, annotations(), other, "rules")
    assert write_chunks(data_dir, annotations(), other, "rules", overwrite=True) != first
    assert len(load(data_dir, with_chunks=True).splits["test"].chunks[0]) == 0


def test_chunks_of_other_queries_are_refused(data_dir):
    write_chunks(data_dir, annotations(), CHUNKS, "rules")
    features = {"v0": np.ones((3, 2)), "v1": np.ones((4, 2))}
    changed = annotations(first="a cat chases a dog")
    write_dataset(
        data_dir, changed, from_arrays(features), "f", None, drop_missing=True, overwrite=True
    )
    assert load(data_dir).splits["train"].chunks is None
    with pytest.raises(ValueError, match="toys .* are of other queries .*--noun-chunks spacy --ov"):
        load(data_dir, with_chunks=True)
