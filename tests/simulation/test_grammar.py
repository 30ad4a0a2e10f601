import numpy as np
import pytest

from vmr_jax.data.text import lexicon
from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.simulation import grammar

ANNOTATIONS = {name: grammar.annotate(domain) for name, domain in grammar.WORLDS.items()}
SOURCE, TARGET = (grammar.word_vectors(side) for side in (0, 1))


def records(name):
    return [record for split in ANNOTATIONS[name].splits.values() for record in split]


def spoken(name):
    return {word for record in records(name) for word in tokenize(record.sentence)}


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_about_half_of_the_words_are_shared():
    source, target = spoken("simulated_source"), spoken("simulated_target")
    assert source == set(SOURCE) and target == set(TARGET)  # every word is used, and has a vector
    for words in (source, target):
        assert 0.45 <= len(source & target) / len(words) <= 0.6


def test_synonyms_are_near_but_not_equal():
    pairs = [c.split("/") for c in lexicon.LEXICON.split() if "/" in c]
    near = np.array([cosine(SOURCE[a], TARGET[b]) for a, b in pairs])
    words = list(SOURCE)
    random = np.array([cosine(SOURCE[a], SOURCE[b]) for a in words for b in words if a < b])
    assert (near > np.quantile(random, 0.99)).all()
    assert 0.6 < near.mean() < 0.9
    for word in set(SOURCE) & set(TARGET):
        np.testing.assert_array_equal(SOURCE[word], TARGET[word])


@pytest.mark.parametrize("name", grammar.WORLDS)
def test_moments_are_valid(name):
    found = ANNOTATIONS[name]
    assert len({record.query_id for record in records(name)}) == len(records(name))
    by_video = {}
    for record in records(name):
        assert record.moments.shape == (1, 2)
        start, end = record.moments[0]
        assert 0 <= start < end <= found.durations[record.video_id]
        assert record.video_id.startswith(record.query_id.split("_")[0])
        by_video.setdefault(record.video_id, []).append((start, end))
    assert set(by_video) == set(found.durations)
    for moments in by_video.values():  # several queries, different moments
        assert len(moments) >= 2
        ordered = sorted(moments)
        assert all(a[1] <= b[0] + 0.11 for a, b in zip(ordered, ordered[1:], strict=False))


@pytest.mark.parametrize("name", grammar.WORLDS)
def test_moments_lie_anywhere(name):
    share = [
        record.moments[0].mean() / ANNOTATIONS[name].durations[record.video_id]
        for record in records(name)
    ]
    counts = np.histogram(share, bins=5, range=(0, 1))[0] / len(share)
    assert counts[1:4].max() < 0.3 and counts.min() > 0.08


def test_domains_differ_in_durations_and_moment_lengths():
    duration, length, relative = {}, {}, {}
    for name, found in ANNOTATIONS.items():
        duration[name] = np.mean(list(found.durations.values()))
        each = [(float(np.diff(r.moments)[0, 0]), r.video_id) for r in records(name)]
        length[name] = np.mean([seconds for seconds, _ in each])
        relative[name] = np.mean([s / found.durations[video] for s, video in each])
    assert duration["simulated_source"] > 1.3 * duration["simulated_target"]
    assert length["simulated_source"] > 1.2 * length["simulated_target"]
    assert relative["simulated_source"] < 0.95 * relative["simulated_target"]


def test_noun_chunks_are_subject_object_and_place():
    sentence = "the cook smells the striped couch in the bedroom"
    chunks = grammar.noun_chunks(sentence)
    words = [sentence[start:end] for start, end in chunks]
    assert words == ["the cook", "the striped couch", "the bedroom"]
    nouns = " ".join((grammar.SUBJECTS, grammar.OBJECTS, grammar.PLACES))
    nouns = {word for concept in nouns.split() for word in concept.split("/")}
    for name in grammar.WORLDS:
        for record in records(name):
            words = [record.sentence[a:b] for a, b in grammar.noun_chunks(record.sentence)]
            assert all(w.startswith("the ") and w.split()[-1] in nouns for w in words)
            assert len(words) == 2 + (" in the " in record.sentence)


def test_sizes_and_first_sentences():
    sizes = {n: [len(s) for s in a.splits.values()] for n, a in ANNOTATIONS.items()}
    assert sizes == {
        "simulated_source": [2021, 199, 400],
        "simulated_target": [1483, 204, 391],
        "simulated_unseen": [306, 62, 398],
    }
    first = records("simulated_target")[0]
    assert first.query_id == "train_0000_0" and first.video_id == "train_0000"
    assert first.sentence == "the cook smells the couch in the bedroom"
    assert first.moments.tolist() == [[35.5, 43.0]]
