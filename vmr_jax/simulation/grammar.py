"""The embedded domains: sentences of a small grammar, their moments, their word vectors.

A video follows one subject through several events. A sentence is

    the SUBJECT VERB the [ADJECTIVE] OBJECT [in the PLACE]

Every word stands for a concept. About half of the concepts have the same word in both domains, the
others a synonym in each; the third domain, which nothing is trained on (EVA, Table 7), speaks now
like the one, now like the other. A concept has the vector c ~ N(0, 0.16 I); its synonyms have
sqrt(1 - s^2) c + s N(0, 0.16 I) each.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.text.lexicon import ADJECTIVES, LEXICON, OBJECTS, PLACES, SUBJECTS, VERBS
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


_SOURCE = World(
    name="simulated_source",
    side=0,
    clip_seconds=1.5,
    duration=(48, 66),
    moment=(4, 13),
    queries=(3, 5),
    videos={"train": 500, "val": 50, "test": 100},
)
_TARGET = World(
    name="simulated_target",
    side=1,
    clip_seconds=1.25,
    duration=(36, 46),
    moment=(4, 9),
    queries=(2, 4),
    videos={"train": 500, "val": 70, "test": 135},
)
_UNSEEN = World(
    name="simulated_unseen",
    side=2,
    clip_seconds=1.0,
    duration=(28, 40),
    moment=(4, 11),
    queries=(2, 4),
    videos={"train": 100, "val": 20, "test": 135},
)
WORLDS = {_SOURCE.name: _SOURCE, _TARGET.name: _TARGET, _UNSEEN.name: _UNSEEN}


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


def draw_moments(
    world: World, duration: float, count: int, draw: np.random.Generator
) -> np.ndarray:
    """`count` moments (count, 2) in random order that do not overlap, anywhere in the video."""
    lengths = draw.uniform(*world.moment, count)
    lengths *= min(1.0, 0.9 * duration / lengths.sum())  # shorter in a crowded video
    cuts = np.sort(draw.uniform(0, duration - lengths.sum(), count))
    starts = cuts + np.concatenate([[0.0], np.cumsum(lengths)[:-1]])
    moments = np.round(np.stack([starts, starts + lengths], axis=1), 1)
    return np.minimum(moments, duration)[draw.permutation(count)]


def noun_chunks(sentence: str) -> np.ndarray:
    """The noun chunks of a sentence of the grammar, (C, 2) int32: subject, object and place."""
    words = sentence.split()
    place = words.index("in") if "in" in words else len(words)
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    pieces = [(0, 2), (3, place), (place + 1, len(words))][: 2 + (place < len(words))]
    return np.array([(starts[a], starts[b] - 1) for a, b in pieces], np.int32)


def annotate(world: World) -> Annotations:
    """The annotations of one domain of the embedded pair."""
    subjects, verbs, adjectives, objects, places = (
        words_of(c, world.side) for c in (SUBJECTS, VERBS, ADJECTIVES, OBJECTS, PLACES)
    )
    splits, durations = {split: [] for split in world.videos}, {}
    for split, video, duration, draw in draw_videos(world):
        durations[video] = duration
        subject, place = draw.choice(subjects), draw.choice(places)
        number = int(draw.integers(*world.queries, endpoint=True))
        moments = draw_moments(world, duration, number, draw)
        pairs = draw.permutation(len(verbs) * len(objects))[: len(moments)]
        for q, moment in enumerate(moments):
            words = subject, verbs[pairs[q] // len(objects)], objects[pairs[q] % len(objects)]
            sentence = draw_sentence(*words, adjectives, place, draw)
            splits[split].append(MomentRecord(f"{video}_{q}", video, sentence, moment[None]))
    return Annotations(world.name, splits, durations, [], {})


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
