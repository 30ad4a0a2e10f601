"""Search of what is said: by the words of a sentence (BM25), and by its meaning.

BM25 is Lucene's (Robertson and Zaragoza 2009; k1 1.5, b 0.75), computed by bm25s, over English
stems (Snowball).
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.speech.utterances import Utterance

_TOUCH = 1.0  # seconds between two utterances that belong together
_LONGEST = 30.0  # seconds of a moment of several utterances
_MOST = 1000  # utterances that are ranked
_BATCH = 64  # utterances encoded at once
_BLOCK = 2**14  # utterances compared at once
_WORDS = 40  # of an utterance that are encoded


class Said(NamedTuple):
    """A moment in which something is said."""

    video: str  # its id
    start_s: float  # seconds
    end_s: float  # seconds
    score: float  # higher is better, within one list
    share: float = 1.0  # of the sentence's words, how many are said


class Spoken:
    """The utterances of a corpus, open for search."""

    def __init__(
        self,
        utterances: Mapping[str, Sequence[Utterance]],
        vectors: np.ndarray | None = None,
        bm25: Any = None,
    ):
        """Take the utterances of each video, perhaps their vectors, and the index of their words.

        `vectors` (U, width) has their rows in the order of `utterances`, of length 1; `bm25` is of
        `index_words` or `load_words`, and is made with the first search where it is not given.
        """
        self.lines = [(video, line) for video, said in utterances.items() for line in said]
        self._vectors = vectors
        self._bm25 = bm25

    @property
    def has_meaning(self) -> bool:
        """Whether its utterances have vectors."""
        return self._vectors is not None and self._vectors.size > 0

    def by_words(self, sentence: str) -> list[Said]:
        """The moments that say words of a sentence, best first.

        Stems are compared, without stop words where others are left. An utterance's times bound
        its moment; neighbours that match as well and begin at most a second after it ends are one
        with it, up to 30 s. A word counts once in a moment, where it scores highest. Raises
        ValueError where bm25s is not installed.
        """
        stems = content_stems(sentence)
        if self._bm25 is None:
            self._bm25 = index_words(line for _, line in self.lines)
        kept = [stem for stem in stems if self._bm25 and stem in self._bm25.vocab_dict]
        if not kept:
            return []
        scores = np.stack([self._bm25.get_scores([stem]) for stem in kept])
        found = [
            Said(
                *self._span(first, last),
                float(scores[:, first:last].max(axis=1).sum()),
                float((scores[:, first:last] > 0).any(axis=1).sum() / len(stems)),
            )
            for first, last in self._moments(scores.sum(axis=0))
        ]
        return sorted(found, key=lambda moment: -moment.score)

    def by_meaning(self, vector: np.ndarray, generic: np.ndarray) -> list[Said]:
        """The utterances whose cosine with a sentence (width,) is high, best first.

        That is higher than the sentence's own with each neutral sentence (P, width) of the same
        encoder. All vectors have length 1.
        """
        if self._vectors is None or not self.has_meaning:
            return []
        cosine = np.concatenate(
            [
                self._vectors[at : at + _BLOCK].astype(np.float32) @ vector
                for at in range(0, len(self._vectors), _BLOCK)
            ]
        )
        high = np.flatnonzero(cosine > (generic @ vector).max())
        order = high[np.argsort(-cosine[high], kind="stable")][:_MOST]
        return [Said(*self._span(row, row + 1), float(cosine[row])) for row in order]

    def _moments(self, total: np.ndarray) -> list[tuple[int, int]]:
        """Runs [first, last) of matching utterances, those around the best ones first."""
        free = total > 0
        runs = []
        for row in np.argsort(-total, kind="stable")[:_MOST].tolist():
            if not free[row]:
                continue
            first, last = row, row + 1
            while last < len(free) and free[last] and self._are_one(first, last, last + 1):
                last += 1
            while first and free[first - 1] and self._are_one(first - 1, first, last):
                first -= 1
            free[first:last] = False
            runs.append((first, last))
        return runs

    def _are_one(self, first: int, border: int, last: int) -> bool:
        """Whether the utterances on both sides of a border touch, and [first, last) is short."""
        (video, before), (other, after) = self.lines[border - 1], self.lines[border]
        whole = self.lines[last - 1][1].end_s - self.lines[first][1].start_s
        touch = before.start_s <= after.start_s <= before.end_s + _TOUCH
        return video == other and touch and whole <= _LONGEST

    def _span(self, first: int, last: int) -> tuple[str, float, float]:
        lines = [line for _, line in self.lines[first:last]]
        return self.lines[first][0], lines[0].start_s, max(line.end_s for line in lines)


def index_words(utterances: Iterable[Utterance]) -> Any:
    """The BM25 index of utterances, in their order; None where they have no words.

    Raises ValueError where bm25s is not installed.
    """
    texts = stemmed(line.text for line in utterances)
    if not any(texts):
        return None
    bm25 = _import_bm25s().BM25()
    bm25.index(texts, show_progress=False)
    return bm25


def load_words(folder: Path) -> Any:
    """Open an index of words that its `save` wrote, without reading it; None where there is none.

    Raises ValueError where bm25s is not installed, and what NumPy and JSON do for a damaged one.
    """
    if not folder.exists():
        return None
    return _import_bm25s().BM25.load(folder, mmap=True)


def stemmed(texts: Iterable[str]) -> list[list[str]]:
    """The stems of the words of each text: "opens the doors" -> open, the, door."""
    stem = _stemmer().stemWords
    return [stem(tokenize(text)) for text in texts]


def content_stems(sentence: str) -> list[str]:
    """The stems of a sentence, each once, without stop words where others are left."""
    from bm25s.stopwords import STOPWORDS_EN

    words = tokenize(sentence)
    content = [word for word in words if word not in STOPWORDS_EN and "'" not in word]
    return list(dict.fromkeys(_stemmer().stemWords(content or words)))


def utterance_vectors(
    utterances: Sequence[Utterance], encode: Callable[[Sequence[str]], np.ndarray] | None
) -> np.ndarray:
    """The vectors (U, width) float32 of utterances, of length 1; their first 40 words count.

    The width is 0 without an encoder of sentences in any words.
    """
    if not utterances or encode is None:
        return np.empty((len(utterances), 0), np.float32)
    texts = [" ".join(line.text.split()[:_WORDS]) for line in utterances]
    parts = []
    for first in range(0, len(texts), _BATCH):
        part = texts[first : first + _BATCH]
        rows = encode([*part, *[""] * (_BATCH - len(part))])[: len(part)]
        parts.append(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))
    return np.concatenate(parts)


def _stemmer() -> Any:
    _import_bm25s()
    import Stemmer

    return Stemmer.Stemmer("english")


def _import_bm25s() -> Any:
    """bm25s and PyStemmer, an extra. Raises ValueError where they are not installed."""
    try:
        import bm25s
        import Stemmer  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"words are searched by bm25s ({error}); install it with: "
            "pip install 'vmr_jax[subtitles]'"
        ) from error
    logging.getLogger("bm25s").setLevel(logging.WARNING)  # it tells of every index that it makes
    return bm25s
