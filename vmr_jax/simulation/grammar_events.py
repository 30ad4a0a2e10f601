"""The embedded worlds of events: what a bag of words and a mean of clips cannot tell apart.

A video is a row of events. In an event someone does something to a thing or to a person:

    the AGENT VERB the [ADJECTIVE] THING
    the AGENT VERB the PERSON

Each event is drawn by itself, so that nothing tells a video's sentences from another video's but
the clips that they are about. Most sentences have a rival in their video:

    roles   the man pushes the woman, where the woman pushes the man as well
    order   the man opens the door after (before) the woman lifts the box: the man opens the door
            twice, beside different events
    count   the man opens the door first (again): he does it twice

and the few others, `plain`, have none. Words and their vectors are those of grammar.py.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.text import lexicon
from vmr_jax.simulation import grammar

LEXICON = " ".join(
    (
        lexicon.SUBJECTS,
        lexicon.VERBS,
        lexicon.ADJECTIVES,
        lexicon.OBJECTS,
        lexicon.RELATIONS,
        lexicon.FUNCTION_WORDS,
    )
)
KINDS = {"roles": 0.6, "order": 0.3, "count": 0.1}  # shares of the videos
_PERSON = 0.3  # share of the other events that are done to a person
_ADJECTIVE = 0.4  # share of the things with an adjective
_PAUSE = 0.3  # share of the events after which nothing happens for a while
PAUSES = (0.5, 3.0)  # seconds

SOURCE = grammar.World(
    name="simulated_source",
    side=0,
    clip_seconds=1.5,
    duration=(48, 66),
    moment=(4, 13),
    queries=(2, 2),
    videos={"train": 1800, "val": 100, "test": 150},
)
TARGET = grammar.World(
    name="simulated_target",
    side=1,
    clip_seconds=1.25,
    duration=(36, 46),
    moment=(4, 9),
    queries=(2, 2),
    videos={"train": 1800, "val": 100, "test": 150},
)
UNSEEN = grammar.World(
    name="simulated_unseen",
    side=2,
    clip_seconds=1.0,
    duration=(34, 46),
    moment=(4, 10),
    queries=(2, 2),
    videos={"train": 100, "val": 20, "test": 150},
)
WORLDS = {world.name: world for world in (SOURCE, TARGET, UNSEEN)}


class Event(NamedTuple):
    """Who does what to whom; a person has no adjective."""

    agent: str
    verb: str
    adjective: str | None
    thing: str

    @property
    def words(self) -> list[str]:
        """Its clause."""
        adjective = [self.adjective] if self.adjective else []
        return ["the", self.agent, self.verb, "the", *adjective, self.thing]

    @property
    def exchanged(self) -> "Event":
        """The event with its roles exchanged, where a person is in both."""
        return Event(self.thing, self.verb, self.adjective, self.agent)


class Asked(NamedTuple):
    """A query about one of a video's events."""

    place: int
    kind: str
    words: list[str]


class Scene(NamedTuple):
    """What happens in a video."""

    duration: float  # seconds
    events: list[Event]
    moments: np.ndarray  # (E, 2) seconds, one after the other
    queries: list[Asked]


class Words(NamedTuple):
    """The words that events are drawn from."""

    people: list[str]
    verbs: list[str]
    adjectives: list[str]
    things: list[str]


def read_words(side: int, verbs: str = lexicon.VERBS) -> Words:
    """The words of a side, with these concepts for its verbs."""
    concepts = lexicon.SUBJECTS, verbs, lexicon.ADJECTIVES, lexicon.OBJECTS
    return Words(*(grammar.words_of(of_kind, side) for of_kind in concepts))


def draw_scenes(world: grammar.World) -> Iterator[tuple[str, str, Scene]]:
    """Yield each video's split, id and scene."""
    words = read_words(world.side)
    for split, video, duration, draw in grammar.draw_videos(world):
        row = EventRow(draw_moments(world, duration, draw), words, draw)
        queries = row.ask(str(draw.choice(list(KINDS), p=list(KINDS.values()))))
        queries += row.ask_plain(int(draw.integers(*world.queries, endpoint=True)) - len(queries))
        yield split, video, Scene(duration, row.fill(), row.moments, queries)


def annotate(world: grammar.World) -> Annotations:
    """The annotations of a world of events."""
    splits, durations = {split: [] for split in world.videos}, {}
    for split, video, scene in draw_scenes(world):
        durations[video] = scene.duration
        for q, asked in enumerate(scene.queries):
            moment = scene.moments[asked.place][None]
            sentence = " ".join(asked.words)
            splits[split].append(MomentRecord(f"{video}_{q}", video, sentence, moment))
    return Annotations(world.name, splits, durations, [], {})


def noun_chunks(sentence: str) -> np.ndarray:
    """The noun chunks of a sentence, (C, 2) int32: who and what of each clause."""
    words = sentence.split()
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    relations = [place for place, word in enumerate(words) if word in lexicon.RELATIONS.split()]
    chunks, clause = [], 0
    for end in (*relations, len(words)):
        if end > clause:
            chunks += [(clause, clause + 2), (clause + 3, end)]
        clause = end + 1
    return np.array([(starts[a], starts[b] - 1) for a, b in chunks], np.int32)


def draw_moments(world: grammar.World, duration: float, draw: np.random.Generator) -> np.ndarray:
    """Moments (E, 2) that follow one another, with a pause now and then."""
    found, now = [], draw.uniform(0, PAUSES[1])
    while True:
        length = draw.uniform(*world.moment)
        if now + length > duration:
            return np.minimum(np.round(np.array(found), 1), duration)
        found.append((now, now + length))
        now += length + (draw.uniform(*PAUSES) if draw.random() < _PAUSE else 0.0)


class EventRow:
    """What happens in the moments (E, 2) of a video, one event after the other.

    Its events are different ones, whatever their adjectives, but where a query wants a rival.
    `drawn` holds those that may not be drawn.
    """

    def __init__(
        self,
        moments: np.ndarray,
        words: Words,
        draw: np.random.Generator,
        drawn: set[Event] | None = None,
    ):
        self.moments, self.words, self.draw = moments, words, draw
        self.events: dict[int, Event] = {}  # by place
        self.drawn = set() if drawn is None else drawn

    def ask(self, kind: str) -> list[Asked]:
        """Queries of a kind beside their rivals; none where no place is left for them."""
        return _ASK[kind](self)

    def ask_plain(self, number: int) -> list[Asked]:
        """Up to so many queries about places that are still empty."""
        empty = [place for place in range(len(self.moments)) if place not in self.events]
        places = self.draw.permutation(empty)[: max(number, 0)]
        self.events |= {int(place): self.new_event() for place in places}
        return [Asked(int(place), "plain", self.events[int(place)].words) for place in places]

    def fill(self, *, person: bool | None = None) -> list[Event]:
        """All events, in order of time; those of empty places are drawn as by `new_event`."""
        for place in range(len(self.moments)):
            if place not in self.events:
                self.events[place] = self.new_event(person=person)
        return [self.events[place] for place in range(len(self.moments))]

    def new_event(self, *, person: bool | None = None) -> Event:
        """An event with a thing or, by chance or where it is asked for, with a person."""
        while True:
            event = self._event(self.draw.random() < _PERSON if person is None else person)
            bare = event._replace(adjective=None)
            if bare not in self.drawn:
                self.drawn |= {bare, bare.exchanged}
                return event

    def places(self, apart: int, last: int = 0) -> list[int]:
        """Two empty places at least `apart` places apart, none where none are.

        The video's `last` places are left out.
        """
        empty = [p for p in range(len(self.moments) - last) if p not in self.events]
        pairs = [(a, b) for a in empty for b in empty if b - a >= apart]
        return list(pairs[self.draw.integers(len(pairs))]) if pairs else []

    def _event(self, person: bool) -> Event:
        draw, words = self.draw, self.words
        agent, verb = str(draw.choice(words.people)), str(draw.choice(words.verbs))
        if person:
            others = [other for other in words.people if other != agent]
            return Event(agent, verb, None, str(draw.choice(others)))
        adjective = str(draw.choice(words.adjectives)) if draw.random() < _ADJECTIVE else None
        return Event(agent, verb, adjective, str(draw.choice(words.things)))


def _ask_roles(row: EventRow) -> list[Asked]:
    """Two events with the same words, their roles exchanged."""
    places = row.draw.permutation(row.places(apart=1)).tolist()
    event = row.new_event(person=True)
    row.events |= dict(zip(places, (event, event.exchanged), strict=False))
    return [Asked(place, "roles", row.events[place].words) for place in places]


def _ask_order(row: EventRow) -> list[Asked]:
    """An event that happens twice, each time after, or before, another one."""
    event, after, queries = row.new_event(), int(row.draw.random() < 0.5), []
    for first in row.places(apart=2, last=1):
        beside = row.new_event()
        row.events |= {first + after: event, first + 1 - after: beside}
        words = [*event.words, ("before", "after")[after], *beside.words]
        queries.append(Asked(first + after, "order", words))
    return queries


def _ask_count(row: EventRow) -> list[Asked]:
    """An event that happens twice, with another one between."""
    places, event = row.places(apart=2), row.new_event()
    row.events |= dict.fromkeys(places, event)
    return [
        Asked(place, "count", [*event.words, relation])
        for place, relation in zip(places, ("first", "again"), strict=False)
    ]


_ASK = {
    "roles": _ask_roles,
    "order": _ask_order,
    "count": _ask_count,
}
