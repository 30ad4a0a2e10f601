"""Find the noun chunks of sentences, as character spans (VDI; spec mmn_vdi.md B2).

"spacy" reads them off the parse of spaCy's en_core_web_sm, as the paper does. "rules" is an
approximation without a parser, for where that model cannot be installed.
"""

import re
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vmr_jax.data.text.english import (
    DETERMINERS,
    NOUNS_IN_LY,
    PRONOUNS,
    RELATIVE,
    STOPS,
    VERB_FORMS,
)

CHUNKERS = ("spacy", "rules")
MODEL = "en_core_web_sm"
_TOKEN = re.compile(r"\w+(?:[-'\u2019]\w+)*|[^\w\s]")
_VERB, _STOP, _DETERMINER, _PRONOUN, _ADVERB, _OTHER = range(6)

# Sentences -> for each its noun chunks (C, 2) int32: character spans [start, end) in order.
Chunker = Callable[[Iterable[str]], Iterator[np.ndarray]]


def make_chunker(method: str) -> tuple[Chunker, str]:
    """The chunker of that name, and what it is with its version.

    Raises ValueError for an unknown name, and for "spacy" where spaCy or its model is missing.
    """
    if method == "rules":
        return lambda sentences: map(chunk_by_rules, sentences), "rules"
    if method != "spacy":
        raise ValueError(f"no noun chunks by {method!r}; choose one of {', '.join(CHUNKERS)}")
    try:
        import spacy

        parse = spacy.load(MODEL, exclude=["ner", "lemmatizer"])
    except (ImportError, OSError) as error:
        raise ValueError(
            f"noun chunks by spaCy need spaCy and its model {MODEL} ({error}). Install them with\n"
            f"  pip install 'vmr_jax[chunks]' && python -m spacy download {MODEL}\n"
            "or take --noun-chunks rules, an approximation without a parser"
        ) from error

    def chunk(sentences: Iterable[str]) -> Iterator[np.ndarray]:
        for document in parse.pipe(sentences):
            yield _spans((c.start_char, c.end_char) for c in document.noun_chunks)

    return chunk, f"spaCy {spacy.__version__}, {MODEL} {parse.meta['version']}"


def chunk_by_rules(sentence: str) -> np.ndarray:
    """The noun chunks of one English sentence, about: character spans (C, 2) int32.

    A chunk is a pronoun by itself, or determiners, then words up to the first that is a
    preposition, conjunction, auxiliary, adverb, punctuation, a determiner again, or the form of
    a verb of a list. After a determiner the form of a verb is a noun or an adjective: "a drink",
    "the closed door". What it gets wrong: verbs that are not in the list, adjectives without a
    noun ("is happy"), two adjectives with "and".
    """
    found: list[tuple[int, int]] = []
    start = end = 0  # of the chunk that is being read; empty when there is none
    opening = ""  # its last determiner, while it holds nothing else

    def close() -> None:
        nonlocal end, opening
        if end > start and opening not in ("a", "an", "the", *RELATIVE):
            found.append((start, end))
        start_over()

    def start_over() -> None:
        nonlocal start, end, opening
        start, end, opening = 0, 0, ""

    for match in _TOKEN.finditer(sentence):
        word = match.group().lower().replace("\u2019", "'")
        kind = _kind(word)
        if kind == _PRONOUN:
            close()
            found.append(match.span())
        elif kind == _DETERMINER:
            if not opening:
                close()
                start = match.start()
            end, opening = match.end(), word
        elif kind == _OTHER or (kind != _STOP and opening and opening not in RELATIVE):
            if end == 0:
                start = match.start()
            end, opening = match.end(), ""
        else:
            close()
    close()
    return _spans(found)


def _kind(word: str) -> int:
    """What a word does to a chunk."""
    if word in PRONOUNS:
        return _PRONOUN
    if word in DETERMINERS or word.isdigit():
        return _DETERMINER
    if word in STOPS or not word[0].isalnum():
        return _STOP
    if word in VERB_FORMS:
        return _VERB
    return _ADVERB if word.endswith("ly") and word not in NOUNS_IN_LY else _OTHER


def _spans(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    return np.array(list(pairs), np.int32).reshape(-1, 2)
