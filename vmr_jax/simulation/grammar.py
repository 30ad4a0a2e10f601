"""What the grammars of all embedded worlds share: their words, word vectors, videos and moments.

A plain sentence is

    the SUBJECT VERB the [ADJECTIVE] OBJECT [in the PLACE]

Every word stands for a concept. About half of the concepts have the same word in both domains, the
others a synonym in each; the third domain, which nothing is trained on (EVA, Table 7), speaks now
like the one, now like the other. A concept has the vector c ~ N(0, 0.16 I); its synonyms have
sqrt(1 - s^2) c + s N(0, 0.16 I) each.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vmr_jax.data.text.lexicon import LEXICON
from vmr_jax.simulation.planting import generator

WORD_DIM = 50
SYNONYM_SPREAD = 0.5  # s


class World(NamedTuple):
    """One domain's sizes: ranges are drawn uniformly."""

    name: str
    side: int  # of a pair of synonyms; 2: now the one, now the other
    clip_seconds: float
    duration: tuple[float, float]  # seconds
    moment: tuple[float, float]  # seconds
    queries: tuple[int, int]  # of a video, both ends included
    videos: dict[str, int]  # split -> number of videos


def words_of(concepts: str, side: int) -> list[str]:
    """The words that a domain uses for the concepts."""
    return [_word(concept, side) for concept in concepts.split()]


def _word(concept: str, side: int) -> str:
    words = concept.split("/")
    return words[-1 if side == 1 or (side == 2 and len(concept) % 2) else 0]


def word_vectors(side: int, lexicon: str = LEXICON) -> dict[str, np.ndarray]:
    """Every word of a domain and its vector (E,) float32."""
    vectors = {}
    for concept in lexicon.split():
        words = concept.split("/")
        centre = generator("concept", concept).standard_normal(WORD_DIM)
        word = _word(concept, side)
        if len(words) == 2:
            own = generator("word", word).standard_normal(WORD_DIM)
            centre = np.sqrt(1 - SYNONYM_SPREAD**2) * centre + SYNONYM_SPREAD * own
        vectors[word] = (0.4 * centre).astype(np.float32)
    return vectors


def draw_videos(world: World) -> Iterator[tuple[str, str, float, np.random.Generator]]:
    """Yield each video's split, id and duration, and the generator for what else it has."""
    for split, count in world.videos.items():
        for v in range(count):
            video = f"{split}_{v:04d}"
            draw = generator("annotations", world.name, video)
            yield split, video, round(draw.uniform(*world.duration), 2), draw


def draw_sentence(
    subject: str,
    verb: str,
    item: str,
    adjectives: Sequence[str],
    place: str,
    draw: np.random.Generator,
) -> str:
    """A sentence of the grammar, now with an adjective and a place, now without."""
    adjective = f"{draw.choice(adjectives)} " if draw.random() < 0.5 else ""
    where = f" in the {place}" if draw.random() < 0.3 else ""
    return f"the {subject} {verb} the {adjective}{item}{where}"
