import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.configs.common import domain_block
from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.domain import make_domain
from vmr_jax.data.batches.pairs import CandidateIndex, PairIndex, VideoIndex
from vmr_jax.data.batches.sampler import in_order
from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.data.tables.video_table import VideoTable
from vmr_jax.data.text.masking import mask_queries
from vmr_jax.data.text.tokens import encode_sentences
from vmr_jax.training.mesh import make_mesh

RNG = np.random.default_rng(0)
LENGTHS = (3, 12, 7)
FEATURES = [RNG.normal(size=(n, 6)).astype(np.float16) for n in LENGTHS]


def dataset(third=((5, 8),)):
    """A toy; `third` are the moments of the third query."""
    num_words = np.array([5, 2, 4, 1], np.int32)
    words = RNG.integers(2, 9, (4, 5)).astype(np.int32) * (np.arange(5) < num_words[:, None])
    table = MomentTable(
        query_id=("a", "b", "c", "d"),
        sentence=("one", "two", "three", "four"),
        video=np.array([2, 0, 2, 0], np.int32),
        words=words,
        num_words=num_words,
        moments=tuple(
            np.array(m, np.float32).reshape(-1, 2)
            for m in ([[0, 4]], [[0, 9], [1, 3], [1, 3.5]], third, [[2, 6]])
        ),
    )
    videos = VideoTable(
        video_id=("x", "y", "z"),
        duration=np.array([6, 24, 10], np.float32),
        num_clips=np.array(LENGTHS, np.int32),
        features=lambda row: FEATURES[row],
        feature_dim=6,
    )
    vectors = np.concatenate([np.zeros((2, 3)), RNG.normal(size=(7, 3))]).astype(np.float32)
    return Dataset("toy", "random", {"train": table}, videos, tuple("abcdefghi"), vectors, "f")


def settings(**changes) -> ConfigDict:
    block = domain_block("toy", labels=True).to_dict()
    return ConfigDict(block | {"max_clips": 5, "max_words": 4} | changes)


def assert_same(streamed, gathered):
    """Two batches have the same fields with the same values."""
    for name, left, right in zip(streamed._fields, streamed, gathered, strict=True):
        assert (left is None) == (right is None), name
        if left is not None:
            np.testing.assert_array_equal(np.asarray(left, right.dtype), right, err_msg=name)


def test_pairs_of_a_split():
    domain = make_domain(dataset(), "train", settings())
    assert domain.video_row.tolist() == [0, 2]  # the video without a query is left out
    assert domain.pairs.video.tolist() == [1, 0, 1, 0]
    assert domain.pairs.num_clips.tolist() == [3, 5]
    assert domain.pairs.num_words.tolist() == [4, 2, 4, 1]
    assert domain.cut_queries == 1
    # the annotator who agrees most with the others
    assert domain.pairs.moment[1].tolist() == [1, 3.5] or domain.pairs.moment[1].tolist() == [1, 3]
    assert domain.pairs.span[0].tolist() == [0, 1]


def test_hidden_boundaries_reach_no_batch():
    domain = make_domain(dataset(), "train", settings(labels=False))
    assert np.isnan(domain.pairs.moment).all() and (domain.pairs.span == -1).all()
    assert domain.moments[0].tolist() == [[0, 4]]  # evaluation still has them


def test_labels_that_are_missing_are_refused_only_where_they_are_needed():
    message = (
        "1 of 4 queries of split 'train' of dataset toy have no labels to train on: c. Mend the "
        "labels and prepare the dataset again, or train on a split with labels"
    )
    with pytest.raises(ValueError, match=message):
        make_domain(dataset(third=()), "train", settings())
    domain = make_domain(dataset(third=()), "train", settings(labels=False))
    assert domain.moments[2].shape == (0, 2) and np.isnan(domain.pairs.moment).all()
    labelled = np.array([0, 1, 3])
    assert len(make_domain(dataset(third=()), "train", settings(), labelled).pairs.video) == 3


def test_the_most_frequent_moment_may_be_the_one_to_learn():
    frequent = settings(training_moment="most_frequent")
    marked = ((5, 8), (0, 5), (0, 5), (5, 8), (5, 10))
    assert make_domain(dataset(marked), "train", frequent).pairs.moment[2].tolist() == [5, 8]
    alone = ((5, 10), (0, 5), (0, 10))
    assert make_domain(dataset(alone), "train", frequent).pairs.moment[2].tolist() == [5, 10]
    assert make_domain(dataset(alone), "train", settings()).pairs.moment[2].tolist() == [0, 10]
    message = r"training_moment is 'x'; it must be one of \('agreed', 'most_frequent', 'all'\)"
    with pytest.raises(ValueError, match=message):
        make_domain(dataset(), "train", settings(training_moment="x"))


def test_a_split_without_queries_is_refused():
    with pytest.raises(ValueError, match="split 'train' of dataset toy has no queries"):
        make_domain(dataset(), "train", settings(), np.zeros(0, int))


def test_unknown_split_names_the_known():
    with pytest.raises(ValueError, match=r"no split 'val'; it has \['train'\]"):
        make_domain(dataset(), "val", settings())


@pytest.mark.parametrize("normalize", ["none", "l2", "standardize"])
@pytest.mark.parametrize("sampling", ["native_capped", "uniform", "rounded_bins"])
def test_both_paths_give_the_same_batch(sampling, normalize):
    chosen = settings(clip_sampling=sampling, normalize=normalize)
    domain = make_domain(dataset(), "train", chosen)
    rows, weight = np.array([3, 0, 1, 2], np.int32), np.array([1, 1, 0, 1], np.float32)
    streamed = data_paths.read_batch(domain, PairIndex(rows, weight))
    tables = data_paths.load_tables(domain, make_mesh())
    gathered = jax.jit(data_paths.gather_batch)(tables, PairIndex(rows, weight))
    assert_same(streamed, gathered)
    assert not streamed.video[~streamed.video_mask].any()
    assert not streamed.query[~streamed.query_mask].any()


def test_frames_are_normalised_before_they_are_binned():
    domain = make_domain(dataset(), "train", settings(clip_sampling="rounded_bins", normalize="l2"))
    assert domain.pairs.num_clips.tolist() == [5, 5]
    for row, native in enumerate((FEATURES[0], FEATURES[2])):
        frames = native.astype(np.float64)
        frames /= np.sqrt((frames**2).sum(axis=1, keepdims=True))
        edges = [min(round(i * len(frames) / 5), len(frames) - 1) for i in range(6)]
        bins = [frames[a : max(b, a + 1)].mean(0) for a, b in zip(edges, edges[1:], strict=False)]
        assert domain.features(row).dtype == np.float16
        np.testing.assert_allclose(domain.features(row), bins, atol=1e-3)


def test_a_batch_of_videos_has_each_query_with_its_video():
    domain = make_domain(dataset(), "train", settings())
    index = VideoIndex(
        video=np.array([1, 0, 0], np.int32),
        weight=np.array([1, 1, 0], np.float32),
        query=np.array([2, 3, 1, 0], np.int32),
        owner=np.array([0, 1, 1, 0], np.int32),
        query_weight=np.array([1, 1, 1, 0], np.float32),
    )
    streamed = data_paths.read_batch(domain, index)
    gathered = jax.jit(data_paths.gather_batch)(data_paths.load_tables(domain, make_mesh()), index)
    assert_same(streamed, gathered)
    assert streamed.num_clips.tolist() == [5, 3, 3] and streamed.duration.tolist() == [10, 6, 6]
    assert streamed.token_mask.sum(1).tolist() == [4, 1, 2, 4]
    np.testing.assert_array_equal(streamed.moment, domain.pairs.moment[[2, 3, 1, 0]])
    np.testing.assert_array_equal(streamed.video[0], domain.features(1))


def test_a_batch_of_candidates_shows_the_true_video_first():
    toy = dataset()._replace(subtitles=lambda row: FEATURES[row][:, :2] + 1, sub_dim=2)
    corpus = np.arange(3, dtype=np.int32)
    domain = make_domain(toy, "train", settings(clip_sampling="cut"), corpus=corpus)
    index = CandidateIndex(
        query=np.array([3, 0], np.int32),
        weight=np.ones(2, np.float32),
        others=np.array([[2, 1], [0, 1]], np.int32),
    )
    streamed = data_paths.read_batch(domain, index)
    gathered = jax.jit(data_paths.gather_batch)(data_paths.load_tables(domain, make_mesh()), index)
    assert_same(streamed, gathered)
    assert streamed.video_id.tolist() == [[0, 2, 1], [2, 0, 1]]
    assert streamed.num_clips.tolist() == [[3, 5, 5], [5, 3, 5]]
    assert streamed.duration.tolist() == [[6, 10, 24], [10, 6, 24]]
    assert streamed.video.shape == (2, 3, 5, 6) and streamed.sub.shape == (2, 3, 5, 2)
    for item, videos in enumerate(streamed.video_id):
        for position, row in enumerate(videos):
            clips = FEATURES[row][:5]
            real = streamed.video_mask[item, position]
            assert real.sum() == len(clips)
            np.testing.assert_array_equal(streamed.video[item, position][real], clips)
            np.testing.assert_array_equal(streamed.sub[item, position][real], clips[:, :2] + 1)
            assert not streamed.video[item, position][~real].any()
    np.testing.assert_array_equal(streamed.moment, [[2, 6], [0, 4]])
    pairs = data_paths.read_batch(domain, PairIndex(index.query, index.weight))
    np.testing.assert_array_equal(streamed.query, pairs.query)
    np.testing.assert_array_equal(streamed.query_mask, pairs.query_mask)


TEXT = ConfigDict({"encoder": "clip", "size": "small", "weights": "", "tokenizer": ""})


def speaking(*sentences):
    """The toy without word vectors, and with these sentences."""
    toy = dataset()
    table = toy.splits["train"]._replace(sentence=sentences)
    return toy._replace(splits={"train": table}, vectors=np.zeros((9, 0), np.float32))


def test_with_a_text_encoder_the_words_are_its_tokens():
    toy = speaking("the man opens the door", "a zebra", "the box", "man")
    domain = make_domain(toy, "train", settings(max_words=5), text=TEXT)
    assert domain.pairs.vectors is None and domain.spec.word_dim == 0
    assert domain.pairs.num_words.tolist() == [5, 4, 4, 3]
    assert (domain.cut_queries, domain.unknown_words) == (1, 2)
    tokens = encode_sentences(TEXT, domain.table.sentence, 5)
    np.testing.assert_array_equal(domain.pairs.words, tokens.ids)
    index = VideoIndex(
        video=np.array([1, 0], np.int32),
        weight=np.ones(2, np.float32),
        query=np.array([2, 0, 3, 1], np.int32),
        owner=np.array([0, 0, 1, 1], np.int32),
        query_weight=np.ones(4, np.float32),
    )
    streamed = data_paths.read_batch(domain, index)
    gathered = jax.jit(data_paths.gather_batch)(data_paths.load_tables(domain, make_mesh()), index)
    assert_same(streamed, gathered)
    np.testing.assert_array_equal(streamed.tokens, tokens.ids[[2, 0, 3, 1]])
    np.testing.assert_array_equal(streamed.token_mask, tokens.mask[[2, 0, 3, 1]])


def test_static_and_dynamic_queries_come_on_both_paths():
    toy = speaking("the man opens the door", "opens", "the box", "the man opens it")
    spans = ([[0, 7], [14, 22]], [], [[0, 7]], [[0, 7]])
    chunks = tuple(np.array(found, np.int32).reshape(-1, 2) for found in spans)
    table = toy.splits["train"]._replace(chunks=chunks)
    toy = toy._replace(splits={"train": table})
    text = ConfigDict(TEXT.to_dict() | {"query_mask_mode": "drop"})
    rows = np.array([3, 0, 1])
    domain = make_domain(toy, "train", settings(max_words=6), rows, text)
    (index,) = in_order("videos", domain.pairs.video, 2)
    streamed = data_paths.read_batch(domain, index)
    gathered = jax.jit(data_paths.gather_batch)(data_paths.load_tables(domain, make_mesh()), index)
    assert_same(streamed, gathered)
    static, dynamic = mask_queries(text, table.sentence, table.chunks, 6)
    kept = rows[index.query]
    for name in ("tokens", "mask", "ok"):
        for part, queries in (("static", static), ("dynamic", dynamic)):
            got = getattr(streamed, f"{part}_{name}")
            np.testing.assert_array_equal(got, getattr(queries, name)[kept], err_msg=name)
    plain = make_domain(toy, "train", settings(max_words=6), text=TEXT)
    assert data_paths.read_batch(plain, index).static_tokens is None


def test_a_split_that_hides_its_videos_is_refused():
    toy = dataset()
    table = toy.splits["train"]._replace(video=np.array([0, -1, 1, 2], np.int32))
    with pytest.raises(ValueError, match="hides which video"):
        make_domain(toy._replace(splits={"test": table}), "test", settings())


def test_a_dataset_without_word_vectors_is_refused():
    with pytest.raises(ValueError, match="without word vectors.*--glove"):
        make_domain(dataset()._replace(vectors=np.zeros((9, 0))), "train", settings())
