"""Sentences as the token ids of the text encoder that a config names."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vmr_jax.data.text.lexicon import LEXICON, RELATIONS
from vmr_jax.encoders.tokenizer import (
    Tokenizer,
    Tokens,
    clip_tokenizer,
    word_tokenizer,
    word_vocabulary,
    wordpiece_tokenizer,
)

if TYPE_CHECKING:
    from vmr_jax.types import Config

_READERS: dict[str, tuple[Callable[..., Tokenizer], str]] = {
    "clip": (clip_tokenizer, "vocab.json and merges.txt of openai/clip-vit-base-patch32"),
    "distilbert": (wordpiece_tokenizer, "vocab.txt of distilbert-base-uncased"),
}
STORED = "features"  # what text.encoder says where the tokens' features are stored, not computed
_SIZES = ("base", "small")
_FEWEST = 3  # a word between the two special tokens


def make_tokenizer(text: "Config", max_words: int) -> Tokenizer:
    """The tokeniser of a config's text block, for sentences of at most `max_words` tokens.

    Size "base" reads the user's files at text.tokenizer. Size "small", an encoder with random
    weights, knows the words of the embedded domains (lexicon.py) and needs no file.

    Raises:
        ValueError: an encoder or size that is not known, no text.tokenizer where one is needed,
            a damaged one, or fewer than 3 max_words.
        FileNotFoundError: text.tokenizer is not there.
    """
    if text.encoder not in _READERS:
        raise ValueError(f"text.encoder is {text.encoder!r}; it must be one of {sorted(_READERS)}")
    if text.size not in _SIZES:
        raise ValueError(f"text.size is {text.size!r}; it must be one of {_SIZES}")
    if max_words < _FEWEST:
        raise ValueError(
            f"max_words is {max_words}; the first and last special token and one word need "
            f"{_FEWEST}"
        )
    if text.size == "small":
        words = f"{LEXICON} {RELATIONS}".replace("/", " ")
        return word_tokenizer(word_vocabulary([words]), max_words)
    read, files = _READERS[text.encoder]
    if not text.tokenizer:
        raise ValueError(
            f"text.tokenizer is empty: name a tokenizer.json, or a folder with {files}, e.g. "
            "--config.text.tokenizer=FOLDER"
        )
    return read(text.tokenizer, max_words)


def encode_sentences(text: "Config", sentences: Sequence[str], max_words: int) -> Tokens:
    """Tokenise Q sentences to M = max_words tokens; what does not fit is cut, and counted.

    Raises as `make_tokenizer`, and ValueError where the vocabulary lacks a part of a sentence.
    """
    return make_tokenizer(text, max_words).encode(sentences, too_long="cut")


def vocabulary_size(text: "Config") -> int:
    """The number of token ids, which is what the text encoder's table must have.

    0 where the features of tokens are stored. Raises as `make_tokenizer`.
    """
    return 0 if text.encoder == STORED else make_tokenizer(text, _FEWEST).vocabulary
