"""The words that the encoder of the demo knows, and what its rendered world is made of.

Nothing heavy is imported, so that an unknown word is told at once.
"""

import re

import numpy as np

COLOURS = {
    "red": (220, 40, 40),
    "green": (40, 190, 60),
    "blue": (60, 90, 240),
    "yellow": (235, 215, 40),
    "purple": (170, 60, 200),
    "white": (240, 240, 240),
}
SHAPES = ("circle", "square", "triangle", "cross")
DIRECTIONS = {"left": (-1, 0), "right": (1, 0), "top": (0, -1), "bottom": (0, 1)}
NOTHING = "nothing happens"
_VERBS = ("appears", "vanishes", "moves", "meets")
# What a sentence has to exceed: of all videos about as true.
GENERIC = (NOTHING, *(f"a {shape} {verb}" for shape in SHAPES for verb in _VERBS))
_ARTICLES = ("a", "an", "the")  # they carry nothing
WORDS = ("", *COLOURS, *SHAPES, *DIRECTIONS, *_VERBS, "to", *NOTHING.split())
MOST_WORDS = 8  # without articles


def word_ids(sentence: str) -> np.ndarray:
    """The rows of WORDS (8,) int32 of a sentence; articles are left out.

    Raises ValueError for other words, none, or too many.
    """
    words = [word for word in re.findall(r"\w+", sentence.lower()) if word not in _ARTICLES]
    unknown = [word for word in words if word not in WORDS]
    if unknown:
        raise ValueError(
            f"the encoder demo does not know the word {unknown[0]!r}: it is of a rendered world, "
            f"whose words are {', '.join(WORDS[1:])}"
        )
    if not 0 < len(words) <= MOST_WORDS:
        raise ValueError(
            f"the sentence {sentence[:40]!r} has {len(words)} words but for articles; the encoder "
            f"demo reads 1 to {MOST_WORDS}"
        )
    ids = np.zeros(MOST_WORDS, np.int32)
    ids[: len(words)] = [WORDS.index(word) for word in words]
    return ids
