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

and the others, `plain`, have none. Words and their vectors are those of grammar.py.
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
KINDS = {"plain": 0.1, "roles": 0.6, "order": 0.2, "count": 0.1}  # shares of the videos
QUERIES = 3  # of a video, at most; those beside a rival are plain
_PERSON = 0.3  # share of the other events that are done to a person
_ADJECTIVE = 0.4  # share of the things with an adjective
_PAUSE = 0.3  # share of the events after which nothing happens for a while
PAUSES = (0.5, 3.0)  # seconds

SOURCE = grammar.World(
    name="simulated_events_source",
    side=0,
    clip_seconds=1.5,
    duration=(48, 66),
    moment=(4, 13),
    queries=(2, 3),
    videos={"train": 1500, "val": 100, "test": 150},
)
TARGET = grammar.World(
    name="simulated_events_target",
    side=1,
    clip_seconds=1.25,
    duration=(36, 46),
    moment=(4, 9),
    queries=(2, 3),
    videos={"train": 1500, "val": 100, "test": 150},
)
WORLDS = {SOURCE.name: SOURCE, TARGET.name: TARGET}


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


class _Words(NamedTuple):
    people: list[str]
    verbs: list[str]
    adjectives: list[str]
    things: list[str]


def draw_scenes(world: grammar.World) -> Iterator[tuple[str, str, Scene]]:
    """Yield each video's split, id and scene."""
    words = _Words(
        *(
            grammar.words_of(concepts, world.side)
            for concepts in (
                lexicon.SUBJECTS,
                lexicon.VERBS,
                lexicon.ADJECTIVES,
                lexicon.OBJECTS,
            )
        )
    )
    for split, video, duration, draw in grammar.draw_videos(world):
        yield split, video, _draw_scene(world, duration, words, draw)


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


class _Video:
    """A video whose events are drawn: different ones, but where a query wants a rival."""

    def __init__(self, number: int, words: _Words, draw: np.random.Generator):
        self.number, self.words, self.draw = number, words, draw
        self.events: dict[int, Event] = {}  # by place
        self.drawn: set[Event] = set()

    def new_event(self, *, person: bool | None = None) -> Event:
        """An event with a thing or, by chance or where it is asked for, with a person."""
        while True:
            event = self._event(self.draw.random() < _PERSON if person is None else person)
            if event not in self.drawn:
                self.drawn |= {event, event.exchanged}
                return event

    def _event(self, person: bool) -> Event:
        draw, words = self.draw, self.words
        agent, verb = str(draw.choice(words.people)), str(draw.choice(words.verbs))
        if person:
            others = [other for other in words.people if other != agent]
            return Event(agent, verb, None, str(draw.choice(others)))
        adjective = str(draw.choice(words.adjectives)) if draw.random() < _ADJECTIVE else None
        return Event(agent, verb, adjective, str(draw.choice(words.things)))

    def places(self, apart: int, last: int) -> list[int]:
        """Two places before `last` that are at least `apart` places apart, none where none are."""
        pairs = [(a, b) for a in range(last) for b in range(a + apart, last)]
        return list(pairs[self.draw.integers(len(pairs))]) if pairs else []


def _draw_scene(
    world: grammar.World, duration: float, words: _Words, draw: np.random.Generator
) -> Scene:
    moments = _draw_moments(world, duration, draw)
    video = _Video(len(moments), words, draw)
    kind = str(draw.choice(list(KINDS), p=list(KINDS.values())))
    queries = _ASK[kind](video)
    for place in range(video.number):
        if place not in video.events:
            video.events[place] = video.new_event()
    shown = [video.events[place] for place in range(video.number)]
    asked = {query.place for query in queries}
    others = [int(place) for place in draw.permutation(video.number) if place not in asked]
    room = int(draw.integers(*world.queries, endpoint=True)) - len(queries)
    plain = [Asked(place, "plain", shown[place].words) for place in others[: max(room, 0)]]
    return Scene(duration, shown, moments, queries + plain)


def _draw_moments(world: grammar.World, duration: float, draw: np.random.Generator) -> np.ndarray:
    """Moments (E, 2) that follow one another, with a pause now and then."""
    found, now = [], draw.uniform(0, PAUSES[1])
    while True:
        length = draw.uniform(*world.moment)
        if now + length > duration:
            return np.minimum(np.round(np.array(found), 1), duration)
        found.append((now, now + length))
        now += length + (draw.uniform(*PAUSES) if draw.random() < _PAUSE else 0.0)


def _ask_roles(video: _Video) -> list[Asked]:
    """Two events with the same words, their roles exchanged."""
    one, other = video.draw.permutation(video.places(apart=1, last=video.number)).tolist()
    event = video.new_event(person=True)
    video.events |= {one: event, other: event.exchanged}
    return [Asked(place, "roles", video.events[place].words) for place in (one, other)]


def _ask_order(video: _Video) -> list[Asked]:
    """An event that happens twice, each time after, or before, another one."""
    event, after, queries = video.new_event(), int(video.draw.random() < 0.5), []
    for first in video.places(apart=2, last=video.number - 1):
        beside = video.new_event()
        video.events |= {first + after: event, first + 1 - after: beside}
        words = [*event.words, ("before", "after")[after], *beside.words]
        queries.append(Asked(first + after, "order", words))
    return queries


def _ask_count(video: _Video) -> list[Asked]:
    """An event that happens twice, with another one between."""
    places, event = video.places(apart=2, last=video.number), video.new_event()
    video.events |= dict.fromkeys(places, event)
    return [
        Asked(place, "count", [*event.words, relation])
        for place, relation in zip(places, ("first", "again"), strict=False)
    ]


_ASK = {
    "plain": lambda video: [],
    "roles": _ask_roles,
    "order": _ask_order,
    "count": _ask_count,
}
