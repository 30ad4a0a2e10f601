"""A prepared dataset gives the records, features, chunks and tokens that were written into it."""

import itertools
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.chunk_table import write_chunks
from vmr_jax.data.tables.dataset import MomentTable, load_dataset
from vmr_jax.data.tables.query_features import write_query_features
from vmr_jax.data.text.vocabulary import tokenize

WIDTH = 3
SPLITS = st.lists(st.sampled_from(["train", "val", "test_iid"]), min_size=1, unique=True)
SENTENCES = st.text(max_size=15) | st.sampled_from(["A dog runs.", "the dog's BOX", "red, red box"])
SECONDS = st.floats(2**-10, 2**20)
HALF = st.floats(-65504, 65504, width=16)
VECTORS = {
    word: np.full(2, row, np.float32) for row, word in enumerate(["dog", "red", "'s", "box"])
}


@st.composite
def annotations(draw) -> Annotations:
    """Queries of a few videos; some have no moments, and some of these no video either."""
    durations = draw(
        st.dictionaries(st.text(min_size=1, max_size=6), SECONDS, min_size=1, max_size=4)
    )
    numbers = itertools.count()
    splits = {}
    for split in draw(SPLITS):
        splits[split] = []
        for _ in range(draw(st.integers(1, 3))):
            moments = draw(
                arrays_of.arrays(np.float64, (draw(st.integers(0, 2)), 2), elements=SECONDS)
            )
            videos = sorted(durations) if len(moments) else [*sorted(durations), ""]
            video = draw(st.sampled_from(videos))
            query_id = f"{next(numbers)}{draw(st.text(max_size=3))}"
            splits[split].append(MomentRecord(query_id, video, draw(SENTENCES), moments))
    return Annotations("some_data", splits, durations, [], {})


@st.composite
def rows_of(draw, names, width: int = WIDTH) -> dict[str, np.ndarray]:
    """Arrays (n, width) that float16 holds, of each name."""
    arrays = st.integers(1, 4).flatmap(
        lambda n: arrays_of.arrays(np.float16, (n, width), elements=HALF)
    )
    return {name: draw(arrays) for name in names}


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


def empty(directory):
    shutil.rmtree(directory / "some_data", ignore_errors=True)
    return directory


def assert_holds(table: MomentTable, records: list[MomentRecord], videos, vocabulary) -> None:
    """A split's table has these records, in order."""
    assert table.query_id == tuple(record.query_id for record in records)
    assert table.sentence == tuple(record.sentence for record in records)
    for row, record in enumerate(records):
        where = table.video[row]
        assert videos[where] == record.video_id if record.video_id else where == -1
        np.testing.assert_array_equal(table.moments[row], record.moments)
        assert table.moments[row].dtype == np.float64
        words = [vocabulary[word] for word in table.words[row, : table.num_words[row]]]
        expected = [word if word in VECTORS else "<unk>" for word in tokenize(record.sentence)]
        assert words == (expected or ["<unk>"])
        assert not table.words[row, table.num_words[row] :].any()


@settings(max_examples=30)
@given(st.data())
def test_what_was_written_is_loaded(directory, data):
    written = data.draw(annotations())
    features = data.draw(rows_of(written.durations))
    reports = write_dataset(empty(directory), written, from_arrays(features), "i3d", VECTORS)
    loaded = load_dataset(directory, written.name, "i3d")
    videos = loaded.videos
    assert videos.video_id == tuple(sorted(written.durations)) and videos.feature_dim == WIDTH
    for row, video in enumerate(videos.video_id):
        np.testing.assert_array_equal(videos.features(row), features[video])
        assert videos.duration[row] == written.durations[video]
        assert videos.num_clips[row] == len(features[video])
    assert list(loaded.splits) == list(written.splits)
    for split, records in written.splits.items():
        assert_holds(loaded.splits[split], records, videos.video_id, loaded.vocabulary)
    for word, vector in zip(loaded.vocabulary[2:], loaded.vectors[2:], strict=True):
        np.testing.assert_array_equal(vector, VECTORS[word])
    assert not loaded.vectors[:2].any()
    again = write_dataset(directory, written, from_arrays(features), "i3d", VECTORS)
    assert again == reports
    assert load_dataset(directory, written.name, "i3d").fingerprint == loaded.fingerprint


@settings(max_examples=20)
@given(st.data())
def test_chunks_and_tokens_belong_to_their_queries(directory, data):
    written = data.draw(annotations())
    records = [record for split in written.splits.values() for record in split]
    features = data.draw(rows_of(written.durations))
    edges = st.integers(0, 15)
    chunks = {
        split: [
            np.array(data.draw(st.lists(st.tuples(edges, edges), max_size=2)), np.int32).reshape(
                -1, 2
            )
            for _ in of_split
        ]
        for split, of_split in written.splits.items()
    }
    tokens = data.draw(rows_of([record.query_id for record in records], 2))
    write_dataset(empty(directory), written, from_arrays(features), "i3d", VECTORS)
    write_chunks(directory, written, chunks, "drawn")
    write_query_features(directory, written, from_arrays(tokens), "bert")
    loaded = load_dataset(
        directory, written.name, "i3d", with_chunks=True, query_feature_name="bert"
    )
    assert not loaded.query_vectors[0].any()
    for split, table in loaded.splits.items():
        for row, query in enumerate(table.query_id):
            np.testing.assert_array_equal(table.chunks[row], chunks[split][row])
            first, count = table.tokens[row]
            np.testing.assert_array_equal(
                loaded.query_vectors[first : first + count], tokens[query]
            )


@settings(max_examples=20)
@given(st.data())
def test_queries_of_videos_without_features_are_left_out(directory, data):
    written = data.draw(annotations())
    there = data.draw(st.sets(st.sampled_from(sorted(written.durations)), min_size=1))
    features = from_arrays(data.draw(rows_of(there)))
    missing = written.durations.keys() - there
    if missing:
        with pytest.raises(ValueError, match=f"{len(missing)} of {len(written.durations)} videos"):
            write_dataset(empty(directory), written, features, "i3d", VECTORS)
    write_dataset(empty(directory), written, features, "i3d", VECTORS, drop_missing=True)
    loaded = load_dataset(directory, written.name, "i3d")
    assert loaded.videos.video_id == tuple(sorted(there))
    for split, records in written.splits.items():
        kept = [record for record in records if record.video_id not in missing]
        assert_holds(loaded.splits[split], kept, loaded.videos.video_id, loaded.vocabulary)


@settings(max_examples=15)
@given(annotations(), annotations(), st.data())
def test_other_content_is_refused_and_replaced_only_when_asked(directory, first, second, data):
    features = [from_arrays(data.draw(rows_of(of.durations))) for of in (first, second)]
    write_dataset(empty(directory), first, features[0], "i3d", VECTORS)
    before = load_dataset(directory, first.name, "i3d").fingerprint
    if repr(first) != repr(second):
        with pytest.raises(ValueError, match="was built from other"):
            write_dataset(directory, second, features[1], "i3d", VECTORS)
        assert load_dataset(directory, first.name, "i3d").fingerprint == before
    write_dataset(directory, second, features[1], "i3d", VECTORS, overwrite=True)
    loaded = load_dataset(directory, second.name, "i3d")
    for split, records in second.splits.items():
        assert_holds(loaded.splits[split], records, loaded.videos.video_id, loaded.vocabulary)
