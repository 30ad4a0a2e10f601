"""Queries of people: sentences as word vectors, or token features of an encoder of one's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.sources.features import open_features
from vmr_jax.data.text.vocabulary import PADDING, tokenize
from vmr_jax.types import Queries


class WordVectors(NamedTuple):
    """The words that a system was trained with."""

    vocabulary: tuple[str, ...]  # word 0 is padding, word 1 is unknown
    vectors: np.ndarray  # (W, E) float32


class WordRows(NamedTuple):
    """The words of Q sentences as rows of word vectors, without those that cannot be asked."""

    ids: np.ndarray  # (Q, max_words) int32, zero padded
    count: np.ndarray  # (Q,) int32
    unknown: list[list[str]]  # the words of each that have no vector, once
    refused: dict[int, str]  # position among all that were given: why it cannot be asked


class Asked(NamedTuple):
    """B queries, without those that cannot be asked."""

    queries: Queries  # (B, max_words, E)
    unknown: list[list[str]]  # of sentences: the words of each that have no vector, once
    refused: dict[int, str]  # position among all that were given: why it cannot be asked


def ask_sentences(sentences: Sequence[str], words: WordVectors, max_words: int) -> Asked:
    """Read sentences; refused are those of `word_rows`."""
    rows = word_rows(sentences, words.vocabulary, max_words)
    mask = np.arange(max_words) < rows.count[:, None]
    return Asked(Queries(words.vectors[rows.ids], mask), rows.unknown, rows.refused)


def word_rows(sentences: Sequence[str], vocabulary: Sequence[str], max_words: int) -> WordRows:
    """The rows of the vocabulary that the words of sentences have.

    Refused are a sentence without words, one without any that has a vector, and one longer than
    max_words.
    """
    row = {word: index for index, word in enumerate(vocabulary) if word != PADDING}
    found, refused = [], {}
    for item, sentence in enumerate(sentences):
        try:
            found.append(_known_words(sentence, row, max_words))
        except ValueError as error:
            refused[item] = str(error)
    ids = np.zeros((len(found), max_words), np.int32)
    for place, tokens in enumerate(found):
        ids[place, : len(tokens)] = [row.get(token, 1) for token in tokens]
    count = np.array([len(tokens) for tokens in found], np.int32)
    unknown = [list(dict.fromkeys(t for t in tokens if t not in row)) for tokens in found]
    return WordRows(ids, count, unknown, refused)


def words_of(sentence: str) -> list[str]:
    """The words of a sentence. Raises ValueError where it has none."""
    words = tokenize(sentence)
    if not words:
        raise ValueError(f"it has no words ({_start(sentence)})")
    return words


def raise_refused(refused: Mapping[int, str]) -> None:
    """Raise ValueError for the first of the queries that cannot be asked, if there is one."""
    for item, reason in refused.items():
        raise ValueError(f"query {item + 1}: {reason}")


def ask_features(
    path: str | Path, ids: Sequence[str], width: int, max_words: int, key: str = ""
) -> Asked:
    """Token features (L, E) of an HDF5 file, one array a query id.

    `key` is that of `open_features`. Refused is a query without features, and one whose features
    are empty, of another width than `width` (E), longer than max_words or not finite.

    Raises FileNotFoundError and ValueError as `open_features`.
    """
    source = open_features(path, key=key)
    there = set(source.ids)
    found, refused = [], {}
    for item, query in enumerate(ids):
        try:
            if query not in there:
                raise ValueError(f"{path} has no features of its tokens under the id {query}")
            found.append(_checked(source.read(query), width, max_words))
        except ValueError as error:
            refused[item] = str(error)
    rows = np.zeros((len(found), max_words, width), np.float32)
    for place, tokens in enumerate(found):
        rows[place, : len(tokens)] = tokens
    mask = np.arange(max_words) < np.array([len(tokens) for tokens in found])[:, None]
    return Asked(Queries(rows, mask), [], refused)


def _known_words(sentence: str, row: Mapping[str, int], max_words: int) -> list[str]:
    """The words of a sentence; ValueError where the system cannot read it."""
    tokens = words_of(sentence)
    if len(tokens) > max_words:
        raise ValueError(
            f"it has {len(tokens)} words, this system reads {max_words}: shorten it "
            f"({_start(sentence)})"
        )
    if not any(token in row for token in tokens):
        raise ValueError(
            f"the system knows none of its words ({_start(sentence)}); it was trained with "
            f"{len(row) - 1} words, use some of them"
        )
    return tokens


def _checked(tokens: np.ndarray, width: int, max_words: int) -> np.ndarray:
    """The features of a query's tokens; ValueError where the system cannot read them."""
    if not len(tokens) or tokens.shape[1] != width:
        raise ValueError(f"its features have shape {tokens.shape}, needed are (tokens, {width})")
    if len(tokens) > max_words:
        raise ValueError(f"it has {len(tokens)} tokens, this system reads {max_words}")
    if not np.isfinite(tokens).all():
        raise ValueError("its features are not finite")
    return tokens


def _start(sentence: str) -> str:
    return repr(sentence if len(sentence) <= 60 else sentence[:57] + "...")
