"""From a config's text block to token ids."""

import json

import numpy as np
import pytest
from ml_collections import ConfigDict
from tokenizers import pre_tokenizers

from vmr_jax.data.text import lexicon
from vmr_jax.data.text.tokens import encode_sentences, make_tokenizer, vocabulary_size
from vmr_jax.simulation import grammar_events

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "man", "open", "##s", "door"]


def text(**changes) -> ConfigDict:
    block = {"encoder": "clip", "size": "small", "weights": "", "tokenizer": ""}
    return ConfigDict(block | changes)


@pytest.fixture
def clip_files(tmp_path):
    """A folder with CLIP's kind of vocabulary: all bytes, one merge."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"{letter}</w>" for letter in alphabet), "an</w>"]
    words += ["<|startoftext|>", "<|endoftext|>"]
    (tmp_path / "vocab.json").write_text(json.dumps({word: row for row, word in enumerate(words)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na n</w>\n")
    return str(tmp_path)


@pytest.mark.parametrize("encoder", ["clip", "distilbert"])
def test_the_small_encoders_know_every_word_of_the_embedded_domains(encoder):
    block = text(encoder=encoder)
    records = [
        record
        for domain in grammar_events.WORLDS.values()
        for split in grammar_events.annotate(domain).splits.values()
        for record in split
    ]
    tokens = encode_sentences(block, [record.sentence for record in records], 16)
    assert (tokens.unknown, tokens.cut) == (0, 0)
    concepts = f"{lexicon.LEXICON} {lexicon.RELATIONS}".split()
    words = {word for concept in concepts for word in concept.split("/")}
    assert vocabulary_size(block) == len(words) + 4
    count = tokens.mask.sum(axis=1)
    assert count.tolist() == [len(record.sentence.split()) + 2 for record in records]
    last = tokens.ids[np.arange(len(count)), count - 1]
    assert (last == vocabulary_size(block) - 1).all() and (tokens.ids.max(axis=1) == last).all()
    assert len({tuple(row) for row in tokens.ids}) == len({r.sentence for r in records})


def test_other_words_are_counted_and_long_sentences_cut():
    sentences = ["the man opens the door", "the zebra opens a quagga", "the door"]
    tokens = encode_sentences(text(), sentences, 6)
    assert (tokens.unknown, tokens.cut) == (2, 2)  # "a" is another; "quagga" is cut off
    assert tokens.mask.sum(axis=1).tolist() == [6, 6, 4] and tokens.ids.shape == (3, 6)
    assert tokens.ids.dtype == np.int32


def test_the_base_encoders_read_the_users_files(clip_files, tmp_path):
    clip = text(size="base", tokenizer=clip_files)
    assert vocabulary_size(clip) == 515
    tokens = encode_sentences(clip, ["an a"], 8)
    assert tokens.ids[0, 0] == 513 and tokens.ids[0, 3] == 514 and tokens.mask.sum() == 4
    folder = tmp_path / "bert"
    folder.mkdir()
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n")
    bert = text(encoder="distilbert", size="base", tokenizer=str(folder))
    assert vocabulary_size(bert) == len(PIECES)
    found = encode_sentences(bert, ["The man opens the door", "a door"], 8)
    assert found.ids[0].tolist() == [2, 5, 6, 7, 8, 5, 9, 3]
    assert found.ids[1].tolist() == [2, 1, 9, 3, 0, 0, 0, 0] and found.unknown == 1


@pytest.mark.parametrize(
    ("changes", "max_words", "error", "message"),
    [
        ({"encoder": "bert"}, 9, ValueError, r"'bert'; it must be one of \['clip', 'distilbert'\]"),
        ({"size": "large"}, 9, ValueError, r"'large'; it must be one of \('base', 'small'\)"),
        ({}, 2, ValueError, "max_words is 2; the first and last special token and one word need 3"),
        ({"size": "base"}, 9, ValueError, "text.tokenizer is empty: name a tokenizer.json, or a .*"
         "vocab.json and merges.txt of openai/clip-vit-base-patch32, e.g. --config.text.tokenizer"),
        ({"size": "base", "encoder": "distilbert"}, 9, ValueError, "vocab.txt of distilbert-base"),
        ({"size": "base", "tokenizer": "gone"}, 9, FileNotFoundError, "no tokeniser at gone"),
    ],
)  # fmt: skip
def test_mistakes(changes, max_words, error, message):
    with pytest.raises(error, match=message):
        make_tokenizer(text(**changes), max_words)
