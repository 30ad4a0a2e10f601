import h5py
import numpy as np
import pytest
from index_cases import SPEC, WORDS, make_source, trained
from search_cases import search_slowly

from vmr_jax.search.corpus_search import TrainedCorpus
from vmr_jax.search.index import build_index
from vmr_jax.search.manifest import read_manifest
from vmr_jax.search.sentences import ask_features, ask_sentences, raise_refused
from vmr_jax.search.shards import open_shard
from vmr_jax.types import Queries

MODALITIES = ["image", "sub"]


def opened(path, *, words=WORDS, localizer=None, dtype="float32", counts=(3, 9, 4, 8, 12, 1, 6)):
    """An index of random videos, and its corpus."""
    retriever = trained("retriever")
    durations = [1.5 * count - 0.5 for count in counts]
    source = make_source(counts, durations=durations)
    build_index(path, source, retriever, localizer, words, dtype=dtype, say=lambda _: None)
    shard = open_shard(path, 0, read_manifest(path)["shards"][0], MODALITIES)
    return TrainedCorpus([shard], retriever, localizer, words), shard


def queries(count: int) -> Queries:
    rng = np.random.default_rng(3)
    words = rng.normal(size=(count, SPEC.max_words, SPEC.word_dim)).astype(np.float32)
    return Queries(words, np.arange(SPEC.max_words) < rng.integers(1, 6, (count, 1)))


def test_without_a_localizer_the_best_videos_are_the_moments(tmp_path):
    corpus, shard = opened(tmp_path)
    asked = queries(70)  # more than are encoded at a time
    found = corpus.search(asked, 3)
    retriever = trained("retriever")
    vectors = np.asarray(retriever.system.encode_queries(retriever.params, asked))
    score, row = search_slowly(vectors, [shard.clips], 3)
    np.testing.assert_array_equal(found.video, row)
    np.testing.assert_allclose(found.score, score, atol=1e-5)
    np.testing.assert_array_equal(found.start, 0)
    np.testing.assert_array_equal(found.end, shard.duration[row])


def test_with_a_localizer_the_spans_of_all_videos_are_ranked(tmp_path):
    localizer = trained("localizer")
    corpus, shard = opened(tmp_path, localizer=localizer)
    asked = queries(3)
    found = corpus.search(asked, 200, videos=4)
    retriever = trained("retriever")
    vectors = np.asarray(retriever.system.encode_queries(retriever.params, asked))
    score, row = search_slowly(vectors, [shard.clips], 4)
    code = np.asarray(localizer.system.encode_queries(localizer.params, asked))
    ends = np.cumsum(shard.clips.num_clips)
    for item in range(3):
        spans = {}
        for rank, video in enumerate(row[item]):
            clips = shard.codes[0][ends[video] - shard.clips.num_clips[video] : ends[video]]
            near = clips @ code[item]
            for i in range(len(clips)):
                for j in range(i, min(i + 4, len(clips))):
                    total = score[item, rank] / 0.1 + near[i] - near[j]
                    end = min(1.5 * (j + 1), shard.duration[video])
                    spans[video, 1.5 * i, end] = total
        kept = np.asarray(found.video[item]) >= 0
        got = zip(found.video[item], found.start[item], found.end[item], strict=True)
        got = [
            (int(v), float(s), float(e)) for (v, s, e), keep in zip(got, kept, strict=True) if keep
        ]
        assert len(got) == len(set(got)) and set(got) == set(spans)
        np.testing.assert_allclose(found.score[item][kept], sorted(spans.values())[::-1], atol=1e-4)
        assert np.isneginf(found.score[item][~kept]).all()


@pytest.mark.parametrize("role", ["retriever", "both"])
def test_more_moments_than_there_are_is_padding(tmp_path, role):
    second = trained("localizer") if role == "both" else None
    corpus, _ = opened(tmp_path, localizer=second, counts=(3, 1, 2))
    asked = queries(2)
    found, few = corpus.search(asked, 500, videos=9), corpus.search(asked, 2, videos=9)
    count, most = (3, 3) if role == "retriever" else (6 + 1 + 3, 3 * 9)
    assert found.saliency is None and all(part.shape == (2, most) for part in found[:4])
    for whole, best, padding in zip(found[:4], few[:4], (0, 0, -np.inf, -1), strict=True):
        np.testing.assert_allclose(whole[:, :2], best, rtol=1e-6)
        np.testing.assert_array_equal(whole[:, count:], padding)
    assert np.isfinite(found.score[:, :count]).all()
    endless = corpus.search(asked, 10**9, videos=10**9)  # allocates no more than there can be
    for whole, again in zip(found[:4], endless[:4], strict=True):
        np.testing.assert_array_equal(whole, again)


def test_sentences_are_read_with_the_words_of_the_index(tmp_path):
    corpus, _ = opened(tmp_path)
    found = corpus.search(["Red door opens.", "a box a"], 3)
    assert corpus.unknown_words == [[], ["a"]]
    rows = np.array([[5, 3, 4, 0, 0], [1, 2, 1, 0, 0]])
    mask = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 0, 0]], bool)
    by_hand = corpus.search(Queries(WORDS.vectors[rows], mask), 3)
    np.testing.assert_array_equal(found.video, by_hand.video)
    np.testing.assert_allclose(found.score, by_hand.score, atol=1e-6)
    assert corpus.unknown_words == []


ODD = {
    " ?! ": r"it has no words (' ?! ')",
    "\N{SLEEPY FACE}": "it has no words ('\N{SLEEPY FACE}')",
    "red " * 400: f"it has 400 words, this system reads 5: shorten it ('{'red ' * 14}r...')",
    "somebody walks": "the system knows none of its words ('somebody walks'); it was trained with "
    "4 words, use some of them",
}


def test_an_odd_sentence_costs_itself_alone(tmp_path):
    corpus, _ = opened(tmp_path)
    sentences = [s for odd in ODD for s in (odd, "red box a")]
    asked = corpus.read(sentences)
    assert asked.refused == dict(zip((0, 2, 4, 6), ODD.values(), strict=True))
    assert asked.unknown == [["a"]] * 4
    alone = ask_sentences(["red box a"], WORDS, 5)
    np.testing.assert_array_equal(asked.queries.query, np.tile(alone.queries.query, (4, 1, 1)))
    np.testing.assert_array_equal(asked.queries.query_mask[3], alone.queries.query_mask[0])


@pytest.mark.parametrize("sentence", ODD)
def test_a_search_of_sentences_that_cannot_be_asked_is_refused(tmp_path, sentence):
    corpus, _ = opened(tmp_path)
    with pytest.raises(ValueError) as refused:
        corpus.search(["red box", sentence])
    assert str(refused.value) == f"query 2: {ODD[sentence]}"


def test_one_sentence_is_no_list(tmp_path):
    corpus, _ = opened(tmp_path)
    with pytest.raises(ValueError, match=r"give a list of sentences, such as \['red box'\]"):
        corpus.search("red box")


def test_queries_that_do_not_fit(tmp_path):
    corpus, _ = opened(tmp_path, words=None)
    good = queries(2)
    with pytest.raises(ValueError, match="token features.*--query-features"):
        corpus.search(["red box"])
    with pytest.raises(ValueError, match="needed are"):
        corpus.search(good._replace(query=good.query[..., :2]))
    with pytest.raises(ValueError, match="have 10 words, these systems read 5"):
        corpus.search(Queries(np.tile(good.query, (1, 2, 1)), np.tile(good.query_mask, (1, 2))))
    with pytest.raises(ValueError, match="query 2 has no words"):
        corpus.search(good._replace(query_mask=good.query_mask & np.array([[True], [False]])))
    broken = np.where(np.arange(2)[:, None, None] == 1, np.nan, good.query)
    with pytest.raises(ValueError, match="features of query 2 are not finite"):
        corpus.search(good._replace(query=broken))
    with pytest.raises(ValueError, match="no queries"):
        corpus.search(Queries(good.query[:0], good.query_mask[:0]))
    with pytest.raises(ValueError, match="top_k is 0"):
        corpus.search(good, 0)
    with pytest.raises(ValueError, match="videos is 0"):
        corpus.search(good, 1, videos=0)


def test_features_of_queries_from_a_file(tmp_path):
    path = tmp_path / "queries.h5"
    rng = np.random.default_rng(0)
    tokens = {"1": rng.normal(size=(3, 4)), "2": rng.normal(size=(5, 4))}
    with h5py.File(path, "w") as file:
        for query, rows in tokens.items():
            file[query] = rows
        file["long"], file["narrow"] = np.ones((6, 4)), np.ones((2, 3))
        file["empty"], file["nan"] = np.ones((0, 4)), np.full((1, 4), np.nan)
    read = ask_features(path, ["2", "1"], 4, 5).queries
    np.testing.assert_array_equal(read.query_mask.sum(axis=1), [5, 3])
    np.testing.assert_allclose(read.query[1, :3], tokens["1"], rtol=1e-6)
    assert not read.query[1, 3:].any()
    reasons = {
        "3": f"{path} has no features of its tokens under the id 3",
        "long": "it has 6 tokens, this system reads 5",
        "narrow": "its features have shape (2, 3), needed are (tokens, 4)",
        "empty": "its features have shape (0, 4), needed are (tokens, 4)",
        "nan": "its features are not finite",
    }
    asked = ask_features(path, ["2", *reasons, "1"], 4, 5)
    assert asked.refused == dict(enumerate(reasons.values(), 1))
    np.testing.assert_array_equal(asked.queries.query, read.query)
    np.testing.assert_array_equal(asked.queries.query_mask, read.query_mask)
    with pytest.raises(ValueError, match="^query 2: .* under the id 3$"):
        raise_refused(asked.refused)
