"""Words of queries: the tokeniser, word vectors, and the vocabulary of a dataset."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.input_files import require_file
from vmr_jax.pickle_data import ARRAYS, plain, read_pickle

PADDING, UNKNOWN = "<pad>", "<unk>"  # words 0 and 1 of every vocabulary

_CONTRACTION = re.compile(r"(?<=\w)(n't|'(?:s|re|ll|ve|d|m))\b")
_TOKEN = re.compile(r"n't|'(?:s|re|ll|ve|d|m)\b|\d+(?:[.,]\d+)+|[^\W_]+(?:[-'][^\W_]+)*")

_CONTENT = ARRAYS | {("collections", "Counter"): dict}


class Vocabulary(NamedTuple):
    """The words of a dataset that have a vector, and what the rest amounts to."""

    words: tuple[str, ...]  # word 0 is padding, word 1 is unknown
    vectors: np.ndarray  # (W, E) float32; rows 0 and 1 are zero
    unknown: Counter  # words without a vector, with how often each occurs
    coverage: float  # share of running words that have a vector


def tokenize(sentence: str) -> list[str]:
    """Split a sentence into words as GloVe's text was: lower case, clitics apart, no punctuation.

    "He doesn't open the t-shirt's box." -> he does n't open the t-shirt 's box
    """
    text = sentence.lower().replace("\u2019", "'")
    return _TOKEN.findall(_CONTRACTION.sub(r" \1", text))


def build_vocabulary(sentences: Iterable[str], vectors: Mapping[str, np.ndarray]) -> Vocabulary:
    """Collect the sentences' words in alphabetical order; words without a vector are unknown."""
    counts = Counter(token for sentence in sentences for token in tokenize(sentence))
    known = sorted(word for word in counts if word in vectors)
    width = len(next(iter(vectors.values()))) if vectors else 0
    matrix = np.zeros((len(known) + 2, width), np.float32)
    for row, word in enumerate(known, 2):
        matrix[row] = vectors[word]
    unknown = Counter({word: n for word, n in counts.items() if word not in vectors})
    total = sum(counts.values())
    coverage = 1 - sum(unknown.values()) / total if total else 1.0
    return Vocabulary((PADDING, UNKNOWN, *known), matrix, unknown, coverage)


def load_glove(path: str | Path, words: Iterable[str]) -> dict[str, np.ndarray]:
    """Read the vectors (E,) float32 of the given words; words that are not there are left out.

    Reads GloVe's text files (Pennington et al., 2014: 6B, 42B, 840B), a line at a time, or a
    pickled {"w2id": {word: row}, "id2vec": [vector, ...]}, of which only the data are read.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged or in another format (file and line named), or a pickle
            asks for a class that is not needed (its name given).
    """
    path = require_file(path, "word vectors")
    wanted = set(words)
    with path.open("rb") as file:
        pickled = file.read(1) == b"\x80"
    return _read_pickle(path, wanted) if pickled else _read_text(path, wanted)


def _read_text(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Read the wanted words' lines `<word> <value> ... <value>`."""
    keys = {word.encode() for word in wanted}
    found, width = {}, 0
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            key, _, values = line.removeprefix(b"\xef\xbb\xbf").partition(b" ")
            if width and (key not in keys or key in found):
                continue
            values = values.split()
            if number == 1:
                width = len(values)
                if width < 2:
                    raise ValueError(f"{path}:1: expected '<word> <number> <number> ...'")
            if len(values) > width:  # a token with blanks in it (840B): never one of ours
                continue
            try:
                vector = np.array(values, np.float32)
                if len(vector) < width:
                    raise ValueError(f"{len(vector)} values, but line 1 has {width}")
                if not np.isfinite(vector).all():
                    raise ValueError("a value is not finite")
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {error}; is the file complete?") from error
            if key in keys:
                found[key] = vector
    if not width:
        raise ValueError(f"{path} is empty; expected word vectors")
    return {key.decode(): vector for key, vector in found.items()}


def _read_pickle(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """Read the wanted words' rows of a pickled subset."""
    try:
        content = read_pickle(path.read_bytes(), _CONTENT)
    except ValueError as error:
        raise ValueError(f"{path}: refused to unpickle: {error}") from error
    try:
        rows, vectors = content["w2id"], plain(content["id2vec"])
        found = {
            word: np.asarray(plain(vectors[row]), np.float32)
            for word, row in rows.items()
            if word in wanted
        }
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f'{path}: expected {{"w2id": {{word: row}}, "id2vec": [vector, ...]}} ({error!r})'
        ) from error
    bad = [word for word, v in found.items() if v.ndim != 1 or not np.isfinite(v).all()]
    if bad:
        raise ValueError(f"{path}: the vector of {bad[0]!r} is not a list of finite numbers")
    widths = {len(vector) for vector in found.values()}
    if len(widths) > 1:
        raise ValueError(f"{path}: vectors of several widths: {sorted(widths)}")
    return found
