"""The corpora that queries are searched in."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.configs.common import domain_block
from vmr_jax.data.batches.data_paths import query_batch, video_batch
from vmr_jax.data.batches.domain import make_domain
from vmr_jax.data.batches.splits import corpus_of, make_corpus
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset

VIDEOS = {f"v{n}": n + 2 for n in range(7)}  # number of clips
CLIPS = {v: np.full((n, 3), n, np.float16) for v, n in VIDEOS.items()}
SETTINGS = ConfigDict(
    domain_block("toys", labels=True).to_dict()
    | {"max_clips": 6, "max_words": 2, "clip_sampling": "cut", "subtitles": "sub"}
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Queries of v1, v3, v5 in train, v2 and v6 in val; v0 and v4 are those of a hidden split."""
    moment = np.array([[1.0, 2.0], [2.0, 3.0]])
    query = lambda q, v, text="a dog runs": MomentRecord(q, v, text, moment)  # noqa: E731
    splits = {
        "train": [query("a", "v5"), query("b", "v1"), query("c", "v5", "a"), query("d", "v3")],
        "val": [query("e", "v2"), query("f", "v6")],
        "test": [MomentRecord("g", "", "a dog", moment[:0])],
    }
    raw = Annotations("toys", splits, {v: 2.0 * n for v, n in VIDEOS.items()}, [], {})
    vectors = {"dog": np.array([1.0, 2.0]), "a": np.array([3.0, 4.0])}
    data_dir = tmp_path_factory.mktemp("data")
    write_dataset(data_dir, raw, from_arrays(CLIPS), "f", vectors)
    write_dataset(data_dir, raw, from_arrays({v: -c for v, c in CLIPS.items()}), "sub", None)
    return load_dataset(data_dir, "toys", "f", subtitle_name="sub")


def test_a_corpus_is_the_videos_that_a_split_is_about(dataset):
    assert corpus_of(dataset, "train").tolist() == [1, 3, 5]
    assert corpus_of(dataset, "train", np.array([1, 3])).tolist() == [1, 3]
    assert corpus_of(dataset, "val").tolist() == [2, 6]
    assert corpus_of(dataset, "test").tolist() == [0, 4]  # hidden: what no other split names
    with pytest.raises(ValueError, match=r"no split 'dev'; it has \['test', 'train', 'val'\]"):
        corpus_of(dataset, "dev")
    splits = {name: dataset.splits[name] for name in ("train", "val", "test")}
    splits["val"] = splits["val"]._replace(video=np.array([0, 2, 4, 6]))
    with pytest.raises(ValueError, match="'test' of dataset toys has no videos to search: every"):
        corpus_of(dataset._replace(splits=splits), "test")


def test_queries_know_their_row_in_the_corpus(dataset):
    corpus = make_corpus(dataset, "train", SETTINGS)
    assert corpus.video_row.tolist() == [1, 3, 5]
    assert corpus.pairs.video.tolist() == [2, 0, 2, 1]
    assert corpus.pairs.num_clips.tolist() == [3, 5, 6]
    assert corpus.pairs.duration.tolist() == [6, 10, 14]
    assert corpus.table.query_id == ("a", "b", "c", "d")
    assert np.isnan(corpus.pairs.moment).all() and corpus.moments[0].shape == (2, 2)
    part = make_corpus(dataset, "train", SETTINGS, np.array([1, 3]))
    assert part.video_row.tolist() == [1, 3] and part.pairs.video.tolist() == [0, 1]


def test_a_hidden_split_has_a_corpus_but_no_pairs(dataset):
    corpus = make_corpus(dataset, "test", SETTINGS)
    assert corpus.pairs.video.tolist() == [-1] and corpus.moments[0].shape == (0, 2)
    assert corpus.pairs.num_clips.tolist() == [2, 6] and corpus.spec.sub_dim == 3
    with pytest.raises(ValueError, match="split 'test' of dataset toys hides which video"):
        make_domain(dataset, "test", SETTINGS)


def test_what_a_search_encodes(dataset):
    corpus = make_corpus(dataset, "train", SETTINGS)
    videos = video_batch(corpus, np.array([2, 0]))
    assert videos.video.shape == (2, 6, 3) and videos.video.dtype == np.float16
    assert videos.video_mask.sum(axis=1).tolist() == [6, 3]
    assert videos.video[0].tolist() == [[7] * 3] * 6  # the first six of seven clips
    assert videos.video[1].tolist() == [[3] * 3] * 3 + [[0] * 3] * 3
    np.testing.assert_array_equal(videos.sub, -videos.video)
    queries = query_batch(corpus, np.array([2, 0, 2]))
    assert queries.query_mask.tolist() == [[True, False], [True, True], [True, False]]
    assert queries.query.tolist() == [[[3, 4], [0, 0]], [[3, 4], [1, 2]], [[3, 4], [0, 0]]]
    plain = make_corpus(dataset._replace(subtitles=None, sub_dim=0), "train", SETTINGS)
    assert video_batch(plain, np.array([0])).sub is None
