"""The embedded corpus: videos in which things are done, and talked about.

Two rows of events (grammar_events.py) run beside each other, what is shown and what is said:

    the AGENT VERB ...          the AGENT SPEECH ...

A query is about what is shown (v), about what is said (t), or about both (vt),

    SHOWN while SAID

whose moment is where both happen. What a query of one kind is about happens once in its split, in
training once in its video; what a query of both is about happens in several videos, but in no
other one together.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.text import lexicon
from vmr_jax.simulation import grammar, grammar_events
from vmr_jax.simulation.grammar_events import Asked, Event, EventRow, Scene, draw_moments
from vmr_jax.simulation.planting import generator

SPEECH = (
    "mentions describes praises criticizes recommends advertises recalls questions insures borrows "
    "orders lends prefers rents reviews misses promises admires demands collects"
)
BOTH = "while"
LEXICON = f"{grammar_events.LEXICON} {SPEECH} {BOTH}"
ROLES = 0.6  # share of the rows in which the queries' events have their roles exchanged
COMMON = 40  # events that happen in several videos, of each kind
_SHORTEST = 3.0  # seconds in which both happen
CORPUS = grammar.World(
    name="simulated_corpus",
    side=0,
    clip_seconds=1.5,
    duration=(36, 50),
    moment=(4.5, 12),
    queries=(2, 2),  # of each modality
    videos={"train": 1200, "val": 100, "test": 200},
)


class Query(NamedTuple):
    """A query about what is shown, what is said, or both."""

    modality: str  # v, t or vt
    words: list[str]
    moment: np.ndarray  # (2,) seconds
    places: tuple[int | None, int | None]  # of what is shown and of what is said


class Film(NamedTuple):
    """What is shown and what is said in a video."""

    shown: Scene
    said: Scene
    queries: list[Query]


def draw_films(world: grammar.World) -> Iterator[tuple[str, str, Film]]:
    """Yield each video's split, id and film."""
    words = [grammar_events.read_words(world.side, v) for v in (lexicon.VERBS, SPEECH)]
    last, common, drawn, met = "", [], [], set()
    for split, video, duration, draw in grammar.draw_videos(world):
        if split != last:
            last, met, drawn = split, set(), [set(), set()]
            stream = generator("common events", world.name, split)
            empty = np.zeros((0, 2))
            rows = [EventRow(empty, w, stream, d) for w, d in zip(words, drawn, strict=True)]
            common = [[row.new_event(person=False) for _ in range(COMMON)] for row in rows]
        elif split == "train":  # too many videos for events of their own
            drawn = [{event._replace(adjective=None) for event in events} for events in common]
        rows = [
            EventRow(draw_moments(world, duration, draw), w, draw, d)
            for w, d in zip(words, drawn, strict=True)
        ]
        yield split, video, _draw_film(world, duration, rows, common, met, draw)


def annotate(world: grammar.World) -> Annotations:
    """The annotations of the corpus; the queries' `modality` is v, t or vt."""
    splits, durations = {split: [] for split in world.videos}, {}
    for split, video, film in draw_films(world):
        durations[video] = film.shown.duration
        for q, query in enumerate(film.queries):
            name = f"{video}_{query.modality}{q}"
            sentence, moment = " ".join(query.words), query.moment[None]
            splits[split].append(MomentRecord(name, video, sentence, moment, query.modality))
    return Annotations(world.name, splits, durations, [], {})


def _draw_film(
    world: grammar.World,
    duration: float,
    rows: list[EventRow],
    common: list[list[Event]],
    met: set[tuple[int, int]],
    draw: np.random.Generator,
) -> Film:
    """What happens in a video, about both first: that needs two moments that overlap."""
    both = _ask_both(rows, common, met, draw)
    shown, said = rows
    of_shown, of_said = (
        _ask_one(row, int(draw.integers(*world.queries, endpoint=True))) for row in rows
    )
    queries = [Query("v", q.words, shown.moments[q.place], (q.place, None)) for q in of_shown]
    queries += [Query("t", q.words, said.moments[q.place], (None, q.place)) for q in of_said]
    return Film(
        Scene(duration, shown.fill(person=False), shown.moments, of_shown),
        Scene(duration, said.fill(person=False), said.moments, of_said),
        queries + both,
    )


def _ask_one(row: EventRow, number: int) -> list[Asked]:
    """Queries about one row alone, now and then about events with exchanged roles."""
    asked = row.ask("roles") if row.draw.random() < ROLES else []
    return asked + row.ask_plain(number - len(asked))


def _ask_both(
    rows: list[EventRow],
    common: list[list[Event]],
    met: set[tuple[int, int]],
    draw: np.random.Generator,
) -> list[Query]:
    """A query about two common events, which meet in this video alone, where moments overlap.

    Where there is room both happen once more, apart from each other.
    """
    shown, said = (row.moments for row in rows)
    start = np.maximum(shown[:, None, 0], said[None, :, 0])
    end = np.minimum(shown[:, None, 1], said[None, :, 1])
    pairs = np.argwhere(end - start >= _SHORTEST)
    if not len(pairs):
        return []
    of_shown, of_said = map(int, pairs[draw.integers(len(pairs))])
    while (numbers := _draw_numbers(draw)) in met:
        pass
    met.add(numbers)
    events = [of_row[number] for of_row, number in zip(common, numbers, strict=True)]
    for row, place, event in zip(rows, (of_shown, of_said), events, strict=True):
        row.events[place] = event
    apart = end <= start
    rivals = np.argwhere(apart & apart[:, of_said, None] & apart[of_shown])
    for row, place, event in zip(rows, draw.permutation(rivals)[:1].ravel(), events, strict=False):
        row.events[int(place)] = event
    words = [*events[0].words, BOTH, *events[1].words]
    moment = np.array([start[of_shown, of_said], end[of_shown, of_said]])
    return [Query("vt", words, moment, (of_shown, of_said))]


def _draw_numbers(draw: np.random.Generator) -> tuple[int, int]:
    """Two common events, one of each row."""
    shown, said = map(int, draw.integers(COMMON, size=2))
    return shown, said
