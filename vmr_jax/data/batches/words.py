"""The words of a split's queries: rows of prepared vectors of words or tokens, or token ids."""

from typing import NamedTuple

import numpy as np

from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.data.text.masking import MaskedQueries, mask_queries
from vmr_jax.data.text.tokens import STORED, encode_sentences
from vmr_jax.types import Config


class Words(NamedTuple):
    """The words of Q queries; without `vectors` the ids are a text encoder's."""

    ids: np.ndarray  # (Q, M) int32, zero padded
    count: np.ndarray  # (Q,) int32
    vectors: np.ndarray | None  # (W, E) float32 or float16, of which the ids are rows
    cut: int  # queries longer than M, whose last words are left out
    unknown: int  # tokens for words that the text encoder's vocabulary lacks
    static: MaskedQueries | None = None  # where the config masks queries
    dynamic: MaskedQueries | None = None


def masks_queries(text: Config | None) -> bool:
    """Tell whether a config's `text` block asks for static and dynamic queries."""
    return text is not None and bool(text.get("query_mask_mode", ""))


def read_words(dataset: Dataset, table: MomentTable, max_words: int, text: Config | None) -> Words:
    """The words of a split of the dataset, as token ids where a config has a `text` block.

    Without it they are the tokens whose features the dataset was loaded with, else the words that
    have a vector. With text.query_mask_mode also the static and dynamic queries, if the dataset was
    loaded with its noun chunks. Raises ValueError where a system that reads token ids is given
    query features, without `text` where the dataset has no word vectors, and otherwise as
    `masking.mask_queries`.
    """
    if text is not None and text.encoder == STORED and table.tokens is None:
        raise ValueError(
            "text.encoder='features' reads stored features of the queries' tokens: name them as "
            "--config.target.query_features=NAME, `vmr prepare ... --query-encoder DIR` makes them"
        )
    if text is not None and text.encoder != STORED:
        if table.tokens is not None:
            raise ValueError(
                "target.query_features is set, but this system encodes the sentences itself: "
                "leave it empty, or read them with --config.text.encoder=features"
            )
        tokens = encode_sentences(text, table.sentence, max_words)
        count = tokens.mask.sum(axis=1).astype(np.int32)
        words = Words(tokens.ids, count, None, tokens.cut, tokens.unknown)
        if table.chunks is None or not masks_queries(text):
            return words
        static, dynamic = mask_queries(text, table.sentence, table.chunks, max_words)
        return words._replace(static=static, dynamic=dynamic)
    if table.tokens is not None:
        first, length = table.tokens[:, :1], table.tokens[:, 1]
        count = np.minimum(length, max_words).astype(np.int32)
        steps = np.arange(max_words, dtype=np.int32)
        ids = np.where(steps < count[:, None], first + steps, 0)
        return Words(ids, count, dataset.query_vectors, int((length > max_words).sum()), 0)
    if not dataset.vectors.shape[1]:
        raise ValueError(
            f"dataset {dataset.name} was prepared without word vectors: prepare it again with "
            "`vmr prepare ... --glove FILE --overwrite`"
        )
    ids = np.zeros((len(table.words), max_words), np.int32)
    width = min(max_words, table.words.shape[1])
    ids[:, :width] = table.words[:, :width]
    count = np.minimum(table.num_words, max_words).astype(np.int32)
    return Words(ids, count, dataset.vectors, int((table.num_words > max_words).sum()), 0)
