"""Static and dynamic queries."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.data.text.masking import dynamic_text, has_word, mask_queries, static_text
from vmr_jax.data.text.tokens import encode_sentences, vocabulary_size

PERSON = "person puts a cup on the table"
CHUNKS = np.array([[0, 6], [12, 17], [21, 30]], np.int32)
NONE = np.zeros((0, 2), np.int32)


def text(mode, **changes) -> ConfigDict:
    block = {"encoder": "clip", "size": "small", "weights": "", "tokenizer": ""}
    return ConfigDict(block | {"query_mask_mode": mode} | changes)


def test_the_papers_example():
    assert static_text(PERSON, CHUNKS) == "person a cup the table"
    assert dynamic_text(PERSON, CHUNKS) == "puts on"


def test_texts_have_single_spaces():
    sentence = " the  man ,opens\tit."
    chunks = np.array([[1, 9], [17, 19]])
    assert static_text(sentence, chunks) == "the man it"
    assert dynamic_text(sentence, chunks) == ",opens ."
    assert (static_text("opens", NONE), dynamic_text("opens", NONE)) == ("", "opens")
    assert has_word("a.") and not has_word(" ., ") and not has_word("")


SENTENCES = ["the man opens the door", "opens", "the man", "the man opens the red door in the hall"]
SPANS = [
    np.array([[0, 7], [14, 22]]),
    NONE,
    np.array([[0, 7]]),
    np.array([[0, 7], [14, 26], [30, 38]]),
]


def test_dropped_words_are_those_of_the_remaining_text():
    block = text("drop")
    static, dynamic = mask_queries(block, SENTENCES, SPANS, 7)
    full = encode_sentences(
        block, ["the man the door", "", "the man", "the man the red door the hall"], 7
    )
    np.testing.assert_array_equal(static.tokens, full.ids)
    np.testing.assert_array_equal(static.mask, full.mask)
    assert static.ok.tolist() == [True, False, True, True]
    full = encode_sentences(block, ["opens", "opens", "", "opens in"], 7)
    np.testing.assert_array_equal(dynamic.tokens, full.ids)
    assert dynamic.ok.tolist() == [True, True, False, True]


def test_the_other_modes_keep_the_positions():
    full = encode_sentences(text("attention"), SENTENCES, 7)
    inside = np.array(
        [
            [0, 1, 1, 0, 1, 1, 0],
            [0, 0, 0, 0, 0, 0, 0],
            [0, 1, 1, 0, 0, 0, 0],
            [0, 1, 1, 0, 1, 1, 0],  # cut after "red"
        ],
        bool,
    )
    outside = np.zeros_like(inside)
    outside[[0, 1, 3], [3, 1, 3]] = True
    for part, hidden in zip(
        mask_queries(text("attention"), SENTENCES, SPANS, 7), (outside, inside), strict=True
    ):
        np.testing.assert_array_equal(part.tokens, full.ids)
        np.testing.assert_array_equal(part.mask, full.mask & ~hidden)
    size = vocabulary_size(text("learned"))
    for part, hidden in zip(
        mask_queries(text("learned"), SENTENCES, SPANS, 7), (outside, inside), strict=True
    ):
        np.testing.assert_array_equal(part.mask, full.mask)
        np.testing.assert_array_equal(part.tokens, np.where(hidden, size, full.ids))
        assert part.tokens.dtype == np.int32
    static, dynamic = mask_queries(text("learned"), SENTENCES, SPANS, 7)
    assert static.ok.tolist() == [True, False, True, True]
    assert dynamic.ok.tolist() == [True, True, False, True]


def test_a_part_that_was_cut_off_is_not_there():
    sentence = ["the man the door opens"]
    static, dynamic = mask_queries(text("attention"), sentence, [np.array([[0, 16]])], 5)
    assert static.ok.tolist() == [True] and dynamic.ok.tolist() == [False]


def test_the_mask_token_is_the_vocabularys(tmp_path):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "man", "opens", "."]
    (tmp_path / "vocab.txt").write_text("\n".join(pieces) + "\n")
    block = text("token", encoder="distilbert", size="base", tokenizer=str(tmp_path))
    static, dynamic = mask_queries(block, ["The man opens."], [np.array([[0, 7]])], 6)
    assert static.tokens.tolist() == [[2, 5, 6, 4, 4, 3]]
    assert dynamic.tokens.tolist() == [[2, 4, 4, 7, 8, 3]]
    assert static.mask.all() and dynamic.mask.all()


def test_mistakes():
    with pytest.raises(ValueError, match=r"query_mask_mode is 'zero'; it must be one of \('drop'"):
        mask_queries(text("zero"), SENTENCES, SPANS, 7)
    with pytest.raises(ValueError, match=r"has no \[MASK\].*use drop, attention or learned"):
        mask_queries(text("token"), SENTENCES, SPANS, 7)
