"""Static and dynamic queries: a sentence's noun chunks alone, and the rest alone.

VDI, section 3.1. How words are left out (VDI D1, D2):

    drop       deleted; what remains is joined by single spaces and tokenised
    token      each token of theirs becomes the vocabulary's [MASK]
    attention  the mask hides their tokens, the others keep their positions
    learned    each token of theirs becomes the id vocabulary_size(text), one row more than the
               vocabulary has
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from vmr_jax.data.text.tokens import make_tokenizer
from vmr_jax.encoders.tokenizer import Tokenizer, tokens_in_spans

if TYPE_CHECKING:
    from vmr_jax.types import Config

MODES = ("drop", "token", "attention", "learned")


class MaskedQueries(NamedTuple):
    """Q queries of which only a part is shown. The special tokens always are."""

    tokens: np.ndarray  # (Q, M) int32
    mask: np.ndarray  # (Q, M) bool, true on the tokens that the encoder attends to
    ok: np.ndarray  # (Q,) bool, false where nothing of the part is there


def static_text(sentence: str, chunks: np.ndarray) -> str:
    """The noun chunks (C, 2) of a sentence, joined by single spaces."""
    return " ".join(" ".join(sentence[start:end] for start, end in chunks).split())


def dynamic_text(sentence: str, chunks: np.ndarray) -> str:
    """What is left of a sentence without its noun chunks (C, 2), joined by single spaces."""
    edges = [0, *np.ravel(chunks).tolist(), len(sentence)]
    kept = zip(edges[::2], edges[1::2], strict=True)
    return " ".join(" ".join(sentence[start:end] for start, end in kept).split())


def has_word(text: str) -> bool:
    """Tell whether there is more than punctuation in a text."""
    return any(letter.isalnum() for letter in text)


def mask_queries(
    text: "Config", sentences: Sequence[str], chunks: Sequence[np.ndarray], max_words: int
) -> tuple[MaskedQueries, MaskedQueries]:
    """The static and the dynamic queries under text.query_mask_mode, M = max_words tokens each.

    Raises ValueError for an unknown mode, for "token" with a vocabulary without [MASK], and as
    `tokens.make_tokenizer`.
    """
    mode = text.query_mask_mode
    if mode not in MODES:
        raise ValueError(f"text.query_mask_mode is {mode!r}; it must be one of {MODES}")
    tokenizer = make_tokenizer(text, max_words)
    both = list(zip(sentences, chunks, strict=True))
    static, dynamic = ([show(*pair) for pair in both] for show in (static_text, dynamic_text))
    if mode == "drop":
        return _dropped(tokenizer, static), _dropped(tokenizer, dynamic)
    tokens = tokenizer.encode(sentences, too_long="cut")
    words = tokens.mask & (tokens.ids != tokenizer.first) & (tokens.ids != tokenizer.last)
    inside = tokens_in_spans(tokens, chunks)
    parts = []
    for texts, hidden in ((static, words & ~inside), (dynamic, inside)):
        ids, mask = tokens.ids, tokens.mask
        if mode == "attention":
            mask = mask & ~hidden
        else:
            ids = np.where(hidden, _substitute(tokenizer, mode), ids).astype(np.int32)
        parts.append(MaskedQueries(ids, mask, _any_word(texts) & (words & ~hidden).any(axis=1)))
    return parts[0], parts[1]


def _dropped(tokenizer: Tokenizer, texts: Sequence[str]) -> MaskedQueries:
    """Texts from which the other part was deleted."""
    tokens = tokenizer.encode(texts, too_long="cut")
    return MaskedQueries(tokens.ids, tokens.mask, _any_word(texts))


def _any_word(texts: Sequence[str]) -> np.ndarray:
    return np.array([has_word(text) for text in texts], bool)


def _substitute(tokenizer: Tokenizer, mode: str) -> int:
    """The id that stands for a hidden token."""
    if mode == "learned":
        return tokenizer.vocabulary
    mask = tokenizer.model.token_to_id("[MASK]")
    if mask is None:
        raise ValueError(
            "text.query_mask_mode is 'token', but the vocabulary has no [MASK] (CLIP's and the "
            "small ones have none): use drop, attention or learned"
        )
    return mask
