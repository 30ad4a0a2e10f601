"""Search of utterances: stems, the order of BM25, moments of neighbours, and meaning."""

import sys

import numpy as np
import pytest

from vmr_jax.speech.utterances import Utterance
from vmr_jax.speech.words import Spoken, content_stems, stemmed, utterance_vectors

DOOR = "a person opens the red door"


def lines(*texts, start=0.0, gap=0.0):
    """Utterances of 2 s, one after the other."""
    return [
        Utterance(start + i * (2 + gap), start + i * (2 + gap) + 2, text)
        for i, text in enumerate(texts)
    ]


def test_stems_of_a_sentence():
    assert stemmed(["Opens the DOORS!", "opening a door"]) == [
        ["open", "the", "door"],
        ["open", "a", "door"],
    ]
    assert content_stems("A person's opening the doors of a door") == ["person", "open", "door"]
    assert content_stems("to be or not to be") == ["to", "be", "or", "not"]


def test_a_sentence_finds_what_is_said_in_other_words():
    corpus = Spoken(
        {
            "a": lines("nothing here", "he walks", gap=9),
            "b": lines("good morning", "opens the red door", "good night", gap=9),
            "c": lines("the door", "a red car", gap=9),
        }
    )
    first, *others = corpus.by_words(DOOR)
    assert first[:3] == ("b", 11.0, 13.0)
    assert first.share == 3 / 4  # of person, open, red, door
    assert {(one.video, one.start_s) for one in others} == {("c", 0.0), ("c", 11.0)}
    assert all(one.score < first.score and one.share == 1 / 4 for one in others)


def test_scores_are_those_of_bm25():
    """By hand: idf = ln(1 + (N - n + 0.5) / (n + 0.5)), tf / (tf + 1.5 (0.25 + 0.75 L / mean))."""
    corpus = Spoken({"a": lines("red red door", "door", "blue", "green car", gap=9)})
    first, second = corpus.by_words("red door")
    mean = 7 / 4
    red, door = np.log(1 + 3.5 / 1.5), np.log(1 + 2.5 / 2.5)
    norm = [1.5 * (0.25 + 0.75 * length / mean) for length in (3, 1)]
    assert first.score == pytest.approx(red * 2 / (2 + norm[0]) + door / (1 + norm[0]), rel=1e-5)
    assert second.score == pytest.approx(door / (1 + norm[1]), rel=1e-5)


def test_neighbours_that_match_and_touch_are_one_moment():
    said = [
        Utterance(0, 2, "she opens the"),
        Utterance(2.5, 4, "red door"),
        Utterance(4, 5, "and leaves"),
        Utterance(5, 6, "by the door"),
        Utterance(7.5, 9, "a red hat"),
    ]
    found = Spoken({"a": said, "b": lines("a door", start=9.0)}).by_words("opens the red door")
    assert found[0][:3] == ("a", 0, 4)  # not the door of "b", which begins where "a" ends
    assert {one[:3] for one in found[1:]} == {("a", 5, 6), ("a", 7.5, 9), ("b", 9.0, 11.0)}
    assert found[0].share == 1.0


def test_a_moment_of_many_utterances_has_an_end():
    found = Spoken({"a": lines(*["door"] * 40)}).by_words("door")
    assert sum(one.end_s - one.start_s for one in found) == 80
    assert max(one.end_s - one.start_s for one in found) == 30


def test_what_is_not_said_is_not_found():
    assert Spoken({}).by_words(DOOR) == []
    assert Spoken({"a": lines("🎵", "good day")}).by_words(DOOR) == []
    assert Spoken({"a": lines("🎵")}).by_words("🎵") == []


def test_meaning_exceeds_that_of_neutral_sentences():
    vectors = np.array([[1, 0], [0.8, 0.6], [0, 1]], np.float16)
    corpus = Spoken({"a": lines("x", "y", "z")}, vectors)
    found = corpus.by_meaning(np.array([1, 0]), np.array([[0.6, 0.8], [0, 1]]))
    assert [(one.start_s, one.end_s) for one in found] == [(0, 2), (2, 4)]
    assert found[1].score == pytest.approx(0.8, abs=1e-3)
    assert Spoken({"a": lines("x")}).by_meaning(np.ones(2), np.ones((1, 2))) == []


def test_vectors_are_made_in_batches_of_one_size():
    sizes = []

    def encode(texts):
        sizes.append(len(texts))
        return np.array([[len(text), 1] for text in texts], np.float32)

    rows = utterance_vectors(lines(*["word " * 50] * 70), encode)
    assert sizes == [64, 64] and rows.shape == (70, 2)
    expected = np.array([199, 1]) / np.hypot(199, 1)  # 40 words
    np.testing.assert_allclose(rows, np.tile(expected, (70, 1)), rtol=1e-6)
    assert utterance_vectors([], encode).shape == (0, 0)


def test_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm25s", None)
    with pytest.raises(ValueError, match=r"pip install 'vmr_jax\[subtitles\]'"):
        Spoken({"a": lines("x")}).by_words("x")
