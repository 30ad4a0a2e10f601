"""Tokenisers take any text: documented shapes, spans in the sentence, no loss but blanks."""

import json
import unicodedata

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tokenizers import pre_tokenizers

from vmr_jax.encoders.tokenizer import (
    clip_text,
    clip_tokenizer,
    tokens_in_spans,
    word_tokenizer,
    word_vocabulary,
    wordpiece_tokenizer,
)

CONTEXT = 12
# Any characters, and more of those that are composed, folded or joined.
ODD_LETTERS = st.sampled_from("a the'sTHÉé\u0301\u0300ßİﬁ1٣½-.<|>\t\u00a0\u200d\0人🙂👍🏽")
TEXTS = st.text(max_size=20) | st.text(ODD_LETTERS, max_size=20)
SENTENCES = st.lists(TEXTS, max_size=4)
ODD = [
    "",
    " \t\u2003",
    "e\u0301 \u0130stanbul \ufb01ne",
    "<|endoftext|> [SEP] <last>",
    "\0\u200d\U0001f44d",
]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory):
    """A small tokeniser of each kind, with room for CONTEXT and for many tokens."""
    folder = tmp_path_factory.mktemp("tokenizers")
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "th", "the</w>"]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: row for row, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\nt h\nth e</w>\n")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "a", "##a", "##the", "b", "##b", "1", "."]
    (folder / "vocab.txt").write_text("\n".join(pieces) + "\n", encoding="utf-8")
    return {
        "clip": [clip_tokenizer(folder, size) for size in (CONTEXT, 500)],
        "wordpiece": [wordpiece_tokenizer(folder, size) for size in (CONTEXT, 500)],
        "words": [word_tokenizer(("a", "the", "é"), size) for size in (CONTEXT, 500)],
    }


def unknown_words(tokenizer, tokens) -> int:
    """The tokens of unknown words: all unknown ones between the first and the last."""
    unknown = (tokens.ids == tokenizer.unknown) & tokens.mask
    return int((unknown & tokens.span.any(axis=-1)).sum())


@pytest.mark.parametrize("kind", ["clip", "wordpiece", "words"])
@given(sentences=SENTENCES)
@example(sentences=ODD)
def test_any_text_has_tokens_of_the_documented_shapes(tokenizers, kind, sentences):
    tokenizer = tokenizers[kind][1]
    tokens = tokenizer.encode(sentences)
    shape = (len(sentences), 500)
    assert (tokens.ids.shape, tokens.ids.dtype) == (shape, np.int32)
    assert (tokens.mask.shape, tokens.mask.dtype) == (shape, bool)
    assert (tokens.span.shape, tokens.span.dtype) == ((*shape, 2), np.int32)
    assert tokens.cut == 0
    assert tokens.unknown == unknown_words(tokenizer, tokens)
    assert (tokens.ids >= 0).all() and (tokens.ids < tokenizer.vocabulary).all()
    assert not tokens.ids[~tokens.mask].any() and not tokens.span[~tokens.mask].any()
    for sentence, ids, mask, span in zip(sentences, *tokens[:3], strict=True):
        count = mask.sum()
        assert mask[:count].all() and count >= 2
        assert ids[0] == tokenizer.first and ids[count - 1] == tokenizer.last
        assert tokenizer.last not in ids[: count - 1]
        start, end = span[1 : count - 1].T
        assert not span[0].any() and not span[count - 1].any()
        assert ((start >= 0) & (start < end) & (end <= len(sentence))).all()
        assert (np.diff(start) >= 0).all() and (np.diff(end) >= 0).all()


@pytest.mark.parametrize("kind", ["clip", "words"])
@given(sentence=TEXTS)
def test_only_blanks_are_in_no_token(tokenizers, kind, sentence):
    # Of a letter and its mark that NFC composes, CLIP's tokens have the letter alone; what its
    # cleaning changes has spans of its own test.
    sentence = unicodedata.normalize("NFC", sentence)
    if kind == "clip":
        sentence = clip_text(sentence)
        assume(clip_text(sentence) == sentence)
    tokens = tokenizers[kind][1].encode([sentence])
    covered = np.zeros(len(sentence), bool)
    for start, end in tokens.span[0]:
        covered[start:end] = True
    assert all(inside or letter.isspace() for letter, inside in zip(sentence, covered, strict=True))


@pytest.mark.parametrize("kind", ["clip", "wordpiece", "words"])
@given(sentences=SENTENCES)
@example(sentences=ODD)
def test_what_does_not_fit_is_cut_at_its_end_or_refused(tokenizers, kind, sentences):
    short, long = tokenizers[kind]
    whole, cut = long.encode(sentences), short.encode(sentences, too_long="cut")
    counts = whole.mask.sum(axis=1)
    assert cut.cut == (counts > CONTEXT).sum() and cut.unknown == unknown_words(short, cut)
    np.testing.assert_array_equal(cut.mask.sum(axis=1), np.minimum(counts, CONTEXT))
    for row in range(len(sentences)):
        words = min(counts[row], CONTEXT) - 1
        np.testing.assert_array_equal(cut.ids[row, :words], whole.ids[row, :words])
        np.testing.assert_array_equal(cut.span[row, :words], whole.span[row, :words])
    if cut.cut:
        with pytest.raises(ValueError, match=f"the text encoder reads {CONTEXT - 2}"):
            short.encode(sentences)
    else:
        for found, expected in zip(short.encode(sentences), cut, strict=True):
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["clip", "wordpiece", "words"])
@given(sentences=SENTENCES)
def test_a_sentence_does_not_see_the_others(tokenizers, kind, sentences):
    tokenizer = tokenizers[kind][1]
    together = tokenizer.encode(sentences)
    for row, sentence in enumerate(sentences):
        alone = tokenizer.encode([sentence])
        np.testing.assert_array_equal(alone.ids[0], together.ids[row])
        np.testing.assert_array_equal(alone.span[0], together.span[row])


@given(SENTENCES)
def test_the_words_of_sentences_are_all_known(sentences):
    vocabulary = word_vocabulary(sentences)
    assert list(vocabulary) == sorted(set(vocabulary))
    tokenizer = word_tokenizer(vocabulary, 100)
    assert tokenizer.vocabulary == len(vocabulary) + 4
    tokens = tokenizer.encode(sentences)
    assert tokens.unknown == 0
    used = set(tokens.ids[tokens.mask]) - {tokenizer.first, tokenizer.last}
    assert used == set(range(2, len(vocabulary) + 2))


@given(
    st.text(max_size=15), st.lists(st.tuples(st.integers(0, 15), st.integers(0, 15)), max_size=3)
)
def test_tokens_in_spans_share_a_character_with_one(sentence, ranges):
    tokens = word_tokenizer(("a",), 20).encode([sentence])
    inside = tokens_in_spans(tokens, [ranges])
    for token, (start, end) in enumerate(tokens.span[0]):
        shared = any(set(range(start, end)) & set(range(first, last)) for first, last in ranges)
        assert inside[0, token] == shared
