"""What all embedded worlds share: their words and word vectors."""

import numpy as np

from vmr_jax.data.text.vocabulary import tokenize
from vmr_jax.simulation import grammar, grammar_events

SOURCE, TARGET = (grammar.word_vectors(side, grammar_events.LEXICON) for side in (0, 1))


def spoken(world):
    """The words of a world's sentences."""
    records = [r for split in grammar_events.annotate(world).splits.values() for r in split]
    return {word for record in records for word in tokenize(record.sentence)}


def cosine(a, b):
    return a @ b / np.sqrt((a @ a) * (b @ b))


def test_about_half_of_the_words_are_shared():
    source, target = (spoken(w) for w in (grammar_events.SOURCE, grammar_events.TARGET))
    for words, vectors in ((source, SOURCE), (target, TARGET)):
        assert words == set(vectors) - {"in"}  # every word is used, and has a vector
        assert 0.45 <= len(source & target) / len(words) <= 0.6


def test_synonyms_are_near_but_not_equal():
    pairs = [c.split("/") for c in grammar_events.LEXICON.split() if "/" in c]
    near = np.array([cosine(SOURCE[a], TARGET[b]) for a, b in pairs])
    words = list(SOURCE)
    random = np.array([cosine(SOURCE[a], SOURCE[b]) for a in words for b in words if a < b])
    assert (near > np.quantile(random, 0.99)).all()
    assert 0.6 < near.mean() < 0.9
    for word in set(SOURCE) & set(TARGET):
        np.testing.assert_array_equal(SOURCE[word], TARGET[word])
