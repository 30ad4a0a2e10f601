"""Features of the tokens of queries: stored, memory-mapped, in batches."""

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.configs.common import domain_block
from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.domain import make_domain
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.data.tables.query_features import write_query_features
from vmr_jax.data.tables.store import read_report, write_report
from vmr_jax.training.mesh import make_mesh

RNG = np.random.default_rng(0)
TOKENS = {
    f"q{n}": RNG.normal(size=(length, 3)).astype(np.float16)
    for n, length in enumerate((2, 5, 1, 3, 4))
}


def annotations():
    moment = np.array([[1.0, 2.0]])
    train = [MomentRecord(f"q{n}", f"v{n}", "a dog runs", moment) for n in range(3)]
    test = [MomentRecord(f"q{n}", "v0", "a dog", moment) for n in (3, 4)]
    durations = {f"v{n}": 10.0 for n in range(3)}
    return Annotations("toys", {"train": train, "test": test}, durations, [], {})


@pytest.fixture
def data_dir(tmp_path):
    clips = {v: np.ones((4, 2)) for v in ("v0", "v2")}  # v1 has no features
    write_dataset(tmp_path, annotations(), from_arrays(clips), "f", None, drop_missing=True)
    return tmp_path


def write(data_dir, tokens=TOKENS, **options):
    return write_query_features(data_dir, annotations(), from_arrays(tokens), "bert", **options)


def load(data_dir, **options):
    return load_dataset(data_dir, "toys", "f", **{"query_feature_name": "bert"} | options)


def test_tokens_are_stored_once_and_mapped(data_dir):
    report = write(data_dir, TOKENS | {"other": np.ones((2, 3))})
    assert (report["queries"], report["tokens"], report["longest"]) == (5, 15, 5)
    assert (report["width"], report["bytes"], report["unused"]) == (3, 2 * 16 * 3, 1)
    dataset = load(data_dir)
    assert isinstance(dataset.query_vectors, np.memmap)
    assert dataset.query_vectors.dtype == np.float16 and not dataset.query_vectors[0].any()
    for table in dataset.splits.values():
        for query, (first, count) in zip(table.query_id, table.tokens, strict=True):
            np.testing.assert_array_equal(
                dataset.query_vectors[first : first + count], TOKENS[query]
            )
    assert dataset.splits["train"].query_id == ("q0", "q2")
    plain = load(data_dir, query_feature_name="")
    assert plain.query_vectors is None and plain.fingerprint != dataset.fingerprint


def test_what_is_there_is_kept_unless_told(data_dir):
    before = write(data_dir)
    assert write(data_dir) == before
    other = {query: tokens + 1 for query, tokens in TOKENS.items()}
    with pytest.raises(ValueError, match="queries-bert was built from other queries or query feat"):
        write(data_dir, other)
    write(data_dir, other, overwrite=True)
    np.testing.assert_array_equal(load(data_dir).query_vectors[1], other["q0"][0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q1": None}, "1 of 5 queries of toys have no features, such as q1: the file needs"),
        ({"q1": np.ones((2, 4))}, "the features of query q1 are 4 wide, others 3"),
        ({"q4": np.zeros((0, 3))}, "the features of query q4 are empty"),
        ({"q2": np.full((2, 3), np.nan)}, "query q2 hold a value that is NaN or infinite"),
    ],
)
def test_faults_name_the_query(data_dir, change, message):
    tokens = {query: t for query, t in (TOKENS | change).items() if t is not None}
    with pytest.raises(ValueError, match=message):
        write(data_dir, tokens)
    assert not (data_dir / "toys/queries-bert").exists()


def test_what_is_missing_or_of_other_queries_says_the_command(data_dir):
    with pytest.raises(FileNotFoundError, match=r"there: none\).*\n.*--query-features"):
        load(data_dir)
    write(data_dir)
    directory = data_dir / "toys/queries-bert"
    write_report(directory, read_report(directory) | {"queries_fingerprint": "x"})
    with pytest.raises(ValueError, match="are of other queries than those that are there"):
        load(data_dir)
    with pytest.raises(ValueError, match="'../bert' cannot be a name"):
        write_query_features(data_dir, annotations(), from_arrays(TOKENS), "../bert")


def settings(**changes):
    block = domain_block("toys", labels=True).to_dict() | {"max_clips": 4, "max_words": 3}
    return ConfigDict(block | changes)


def test_tokens_reach_a_batch_on_both_paths(data_dir):
    write(data_dir)
    domain = make_domain(load(data_dir), "test", settings())
    assert domain.spec.word_dim == 3 and domain.pairs.vectors.dtype == np.float16
    assert domain.pairs.num_words.tolist() == [3, 3] and domain.cut_queries == 1
    domain = make_domain(load(data_dir), "train", settings())
    index = PairIndex(np.array([1, 0, 1], np.int32), np.ones(3, np.float32))
    streamed = data_paths.read_batch(domain, index)
    gathered = jax.jit(data_paths.gather_batch)(data_paths.load_tables(domain, make_mesh()), index)
    np.testing.assert_array_equal(streamed.query, gathered.query)
    assert streamed.query.dtype == gathered.query.dtype == np.float16
    assert streamed.query_mask.sum(axis=1).tolist() == [1, 2, 1]
    np.testing.assert_array_equal(streamed.query[1, :2], TOKENS["q0"])
    assert not streamed.query[~streamed.query_mask].any()


def test_a_system_with_its_own_text_encoder_reads_no_tokens(data_dir):
    write(data_dir)
    with pytest.raises(ValueError, match="target.query_features is set, but this system encodes"):
        make_domain(load(data_dir), "train", settings(), text=ConfigDict({"encoder": "clip"}))
