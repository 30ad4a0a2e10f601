"""Queries of people: sentences as word vectors, or token features of an encoder of one's own."""

from collections.abc import Sequence
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
    """The words of Q sentences as rows of word vectors."""

    ids: np.ndarray  # (Q, max_words) int32, zero padded
    count: np.ndarray  # (Q,) int32
    unknown: list[list[str]]  # the words of each that have no vector, once


def queries_of_sentences(
    sentences: Sequence[str], words: WordVectors, max_words: int
) -> tuple[Queries, list[list[str]]]:
    """Sentences as Queries (B, max_words, E), and the words of each that have no vector, once.

    Raises as `word_rows`.
    """
    ids, count, unknown = word_rows(sentences, words.vocabulary, max_words)
    return Queries(words.vectors[ids], np.arange(max_words) < count[:, None]), unknown


def word_rows(sentences: Sequence[str], vocabulary: Sequence[str], max_words: int) -> WordRows:
    """The rows of the vocabulary that the words of sentences have.

    Raises ValueError for an empty sentence, one without any word that has a vector, and one longer
    than max_words.
    """
    row = {word: index for index, word in enumerate(vocabulary) if word != PADDING}
    ids = np.zeros((len(sentences), max_words), np.int32)
    count = np.zeros(len(sentences), np.int32)
    unknown = []
    for item, sentence in enumerate(sentences):
        tokens = words_of(sentence, item)
        unknown.append(list(dict.fromkeys(token for token in tokens if token not in row)))
        if len(tokens) > max_words:
            raise ValueError(
                f"query {item + 1} has {len(tokens)} words, this system reads {max_words}: "
                f"shorten it ({_start(sentence)})"
            )
        if not set(tokens) - set(unknown[-1]):
            raise ValueError(
                f"query {item + 1}: the system knows none of its words ({_start(sentence)}); it "
                f"was trained with {len(row) - 1} words, use some of them"
            )
        ids[item, : len(tokens)] = [row.get(token, 1) for token in tokens]
        count[item] = len(tokens)
    return WordRows(ids, count, unknown)


def words_of(sentence: str, item: int) -> list[str]:
    """The words of the sentence of query `item`. Raises ValueError where it has none."""
    words = tokenize(sentence)
    if not words:
        raise ValueError(f"query {item + 1} is empty: {sentence!r} has no words")
    return words


def queries_of_features(
    path: str | Path, ids: Sequence[str], width: int, max_words: int, key: str = ""
) -> Queries:
    """Token features (L, E) of an HDF5 file, one array a query id, as Queries (B, max_words, E).

    `key` is that of `open_features`.

    Raises FileNotFoundError and ValueError: a query has no features, or empty ones, of another
    width than `width` (E), longer than max_words or not finite.
    """
    source = open_features(path, key=key)
    there = set(source.ids)
    missing = [query for query in ids if query not in there]
    if missing:
        raise ValueError(
            f"{path}: {len(missing)} of {len(ids)} queries have no features, such as "
            f"{', '.join(missing[:3])}: the file needs the tokens of every query under its id"
        )
    rows = np.zeros((len(ids), max_words, width), np.float32)
    mask = np.zeros(rows.shape[:2], bool)
    for item, query in enumerate(ids):
        tokens = source.read(query)
        if not len(tokens) or tokens.shape[1] != width:
            raise ValueError(
                f"{path}: the features of query {query} have shape {tokens.shape}, needed are "
                f"(tokens, {width})"
            )
        if len(tokens) > max_words:
            raise ValueError(
                f"{path}: query {query} has {len(tokens)} tokens, this system reads {max_words}"
            )
        if not np.isfinite(tokens).all():
            raise ValueError(f"{path}: the features of query {query} are not finite")
        rows[item, : len(tokens)] = tokens
        mask[item, : len(tokens)] = True
    return Queries(rows, mask)


def _start(sentence: str) -> str:
    return repr(sentence if len(sentence) <= 60 else sentence[:57] + "...")
