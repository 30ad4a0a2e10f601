"""The embedded world of highlights: what a sentence describes happens several times in a video.

Its sentences are those of grammar.py. A video is cut into clips of 2 s; a moment is short or long,
and annotators rate each clip of it: from a moment to the next the ratings differ, and in a moment
they fall from its middle to its ends. What is better rated is shown more strongly (planting.py).
"""

import numpy as np

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.text import lexicon
from vmr_jax.simulation import grammar

ANNOTATORS = 3
BEST = 4  # the highest rating
MOMENTS = (1, 3)  # of a query, both ends included
_FALL = 1.0  # of the rating from the middle of a moment to its ends
_DISAGREEMENT = 0.5  # deviation of an annotator's rating
HIGHLIGHTS = grammar.World(
    name="simulated_highlights",
    side=0,
    clip_seconds=2.0,
    duration=(64, 80),
    moment=(2, 24),
    queries=(1, 2),
    videos={"train": 700, "val": 80, "test": 200},
)


def annotate(world: grammar.World) -> Annotations:
    """The annotations of the world: moments (A, 2) of each query and ratings of the clips."""
    subjects, verbs, adjectives, objects, places = (
        grammar.words_of(concepts, world.side)
        for concepts in (
            lexicon.SUBJECTS,
            lexicon.VERBS,
            lexicon.ADJECTIVES,
            lexicon.OBJECTS,
            lexicon.PLACES,
        )
    )
    splits, durations = {split: [] for split in world.videos}, {}
    for split, video, seconds, draw in grammar.draw_videos(world):
        duration = world.clip_seconds * round(seconds / world.clip_seconds)
        durations[video] = duration
        subject, place = draw.choice(subjects), draw.choice(places)
        number = int(draw.integers(*world.queries, endpoint=True))
        counts = draw.integers(*MOMENTS, size=number, endpoint=True)
        moments = draw_moments(world, duration, int(counts.sum()), draw)
        pairs = draw.permutation(len(verbs) * len(objects))[:number]
        for q, own in enumerate(np.split(moments, np.cumsum(counts)[:-1])):
            words = subject, verbs[pairs[q] // len(objects)], objects[pairs[q] % len(objects)]
            sentence = grammar.draw_sentence(*words, adjectives, place, draw)
            own = own[np.argsort(own[:, 0])]
            rated = rate(own, round(duration / world.clip_seconds), world.clip_seconds, draw)
            query = f"{video}_{q}"
            splits[split].append(MomentRecord(query, video, sentence, own, saliency=rated))
    return Annotations(world.name, splits, durations, [], {})


def draw_moments(
    world: grammar.World, duration: float, count: int, draw: np.random.Generator
) -> np.ndarray:
    """`count` moments (count, 2) of whole clips that do not overlap, in random order.

    Lengths are log-uniform: short moments are more frequent than long ones.
    """
    low, high = np.log(world.moment)
    clips = round(duration / world.clip_seconds)
    lengths = np.exp(draw.uniform(low, high, count)) / world.clip_seconds
    lengths = lengths * min(1.0, 0.7 * clips / lengths.sum())
    lengths = np.maximum(1, np.floor(lengths)).astype(int)
    free = clips - lengths.sum()
    cuts = np.sort(draw.integers(0, free, count, endpoint=True))
    starts = cuts + np.concatenate([[0], np.cumsum(lengths)[:-1]])
    moments = world.clip_seconds * np.stack([starts, starts + lengths], axis=1)
    return moments.astype(np.float64)[draw.permutation(count)]


def rate(
    moments: np.ndarray, clips: int, clip_seconds: float, draw: np.random.Generator
) -> np.ndarray:
    """The ratings (C, ANNOTATORS) of a video's clips, from 1 to BEST in the moments, else 0."""
    ratings = np.zeros((clips, ANNOTATORS))
    for start, end in moments / clip_seconds:
        first, last = round(start), round(end)
        place = np.abs(np.arange(first, last) + 0.5 - (start + end) / 2) / (end - start) * 2
        worth = draw.uniform(1.5, BEST) - _FALL * place
        opinions = worth[:, None] + _DISAGREEMENT * draw.standard_normal((len(place), ANNOTATORS))
        ratings[first:last] = np.clip(np.round(opinions), 1, BEST)
    return ratings
