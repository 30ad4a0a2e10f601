"""The rendered world: coloured shapes that appear, move, meet and vanish, one after the other.

A scene is planned before it is drawn, so that the start and the end of each event are exact. In one
scene no sentence comes twice, and what is said to move meets nothing: a sentence is true of one
moment. Same seed, same pixels.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from vmr_jax.encoders.demo_words import COLOURS, DIRECTIONS, SHAPES

SIZE = 128  # pixels, both ways
RATE = 8  # frames a second
SPLITS = ("train", "val", "test")
_SEED = 17
_CELL = 32  # pixels; things rest at the centres of cells
_GAP = 40  # pixels at least between the centres of things that do not meet
_PAUSE = (0.8, 2.0)  # seconds
_LENGTH = (1.5, 3.2)  # seconds of an event
_APPROACH = 0.75  # seconds
_EVENTS = (4, 7)
_LONGEST = 30.0  # seconds of a video


class Event(NamedTuple):
    """A sentence and its moment."""

    sentence: str
    start: float  # seconds
    end: float


class Track(NamedTuple):
    """Where a thing is: straight lines between its keys."""

    colour: str
    shape: str
    keys: np.ndarray  # (K, 4) of seconds, x, y, radius in pixels; radius 0: it cannot be seen

    @property
    def name(self) -> str:
        """What sentences call it."""
        return f"{self.colour} {self.shape}"

    def at(self, seconds: float) -> tuple[float, float, float]:
        """Its x, y and radius."""
        times = self.keys[:, 0]
        x, y, radius = (float(np.interp(seconds, times, row)) for row in self.keys[:, 1:].T)
        return x, y, radius


class Scene(NamedTuple):
    """A video before it is drawn."""

    name: str
    duration: float  # seconds
    ground: np.ndarray  # (SIZE, SIZE, 3) float32, what is behind the things
    tracks: tuple[Track, ...]
    events: tuple[Event, ...]


def plan_scene(split: str, number: int) -> Scene:
    """The scene of a number in one of SPLITS."""
    draw = np.random.default_rng([_SEED, SPLITS.index(split), number])
    plan = _Plan(draw)
    for _ in range(int(draw.integers(*_EVENTS, endpoint=True))):
        plan.add_event()
    shade = draw.uniform(15, 60) + draw.uniform(-10, 10, 3)
    ground = shade + draw.normal(0, 3, (SIZE // 4, SIZE // 4, 1)).repeat(4, 0).repeat(4, 1)
    tracks = [Track(*thing, np.array(keys)) for thing, keys in plan.keys.items()]
    return Scene(
        f"{split}_{number:03d}",
        plan.now,
        ground.astype(np.float32),
        tuple(track for track in tracks if track.keys[:, 3].any()),
        tuple(plan.events),
    )


def frame_times(scene: Scene) -> list[float]:
    """The seconds at which a scene's frames are shown."""
    return [frame / RATE for frame in range(round(scene.duration * RATE))]


def draw_frame(scene: Scene, seconds: float) -> np.ndarray:
    """A frame of a scene, (SIZE, SIZE, 3) uint8."""
    image = scene.ground.copy()
    for track in scene.tracks:
        x, y, radius = track.at(seconds)
        left, top = max(int(x - radius) - 1, 0), max(int(y - radius) - 1, 0)
        right, bottom = int(x + radius) + 3, int(y + radius) + 3
        part = image[top:bottom, left:right]
        down, across = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        inside = _INSIDE[track.shape](across + 0.5 - x, down + 0.5 - y, radius)
        cover = np.clip(inside + 0.5, 0, 1)[..., None] * (radius > 0)
        part += cover * (np.array(COLOURS[track.colour], np.float32) - part)
    return np.clip(image, 0, 255).astype(np.uint8)


def _triangle(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    return np.minimum(radius * 0.8 - y, (y + radius) * 0.47 - np.abs(x) * 0.9)


def _cross(x: np.ndarray, y: np.ndarray, radius: float) -> np.ndarray:
    x, y, arm = np.abs(x), np.abs(y), radius / 3
    return np.maximum(np.minimum(arm - x, radius - y), np.minimum(radius - x, arm - y))


# How far points (H, W) lie inside a shape around (0, 0), in pixels; below 0 outside.
_INSIDE: dict[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "circle": lambda x, y, radius: radius - np.hypot(x, y),
    "square": lambda x, y, radius: radius * 0.9 - np.maximum(np.abs(x), np.abs(y)),
    "triangle": _triangle,
    "cross": _cross,
}

_Thing = tuple[str, str]  # colour and shape


class _Plan:
    """The events of a scene, one after the other."""

    def __init__(self, draw: np.random.Generator):
        self.draw, self.now, self.events = draw, 0.0, []
        self.keys: dict[_Thing, list[tuple[float, float, float, float]]] = {}
        self.hidden: dict[_Thing, float] = {}  # things that may still appear, and their radius
        self.seen: dict[_Thing, tuple[float, float, float]] = {}  # x, y and radius
        self.moved: set[_Thing] = set()
        self.met: set[_Thing] = set()
        kinds = [(colour, shape) for colour in COLOURS for shape in SHAPES]
        chosen = draw.permutation(len(kinds))[: int(draw.integers(2, 4, endpoint=True))]
        for place, index in enumerate(chosen):
            thing, radius = kinds[index], float(draw.uniform(13, 16))
            if place < 1 or draw.random() < 0.5:
                self.seen[thing] = (*self._free_cell(), radius)
                self.keys[thing] = [(0.0, *self.seen[thing])]
            else:
                self.hidden[thing] = radius
        self.now += self._seconds(_PAUSE)

    def add_event(self) -> None:
        """Add one of the events that can happen now, each kind as likely; then a pause."""
        makers = (self._appearances, self._vanishings, self._moves, self._meetings)
        kinds = [found for maker in makers if (found := list(maker()))]
        length = self._seconds(_LENGTH)
        if not kinds or self.now + length + 4 * _APPROACH > _LONGEST:
            return
        found = kinds[self.draw.integers(len(kinds))]
        sentence, happen = found[self.draw.integers(len(found))]
        start, end = happen(length)
        self.events.append(Event(sentence, start, end))
        self.now += self._seconds(_PAUSE)

    def _appearances(self) -> Iterator[tuple[str, Callable]]:
        for thing in self.hidden:
            yield (
                f"a {' '.join(thing)} appears",
                lambda length, thing=thing: self._appear(thing, length),
            )

    def _appear(self, thing: _Thing, length: float) -> tuple[float, float]:
        x, y = self._free_cell()
        radius = self.hidden.pop(thing)
        self.keys[thing] = [(self.now, x, y, 0.0)]
        return self._go(thing, (x, y, radius), length)

    def _vanishings(self) -> Iterator[tuple[str, Callable]]:
        for thing in self.seen if len(self.seen) > 1 else ():
            yield (
                f"the {' '.join(thing)} vanishes",
                lambda length, thing=thing: self._vanish(thing, length),
            )

    def _vanish(self, thing: _Thing, length: float) -> tuple[float, float]:
        x, y, _ = self.seen[thing]
        span = self._go(thing, (x, y, 0.0), length)
        del self.seen[thing]
        return span

    def _moves(self) -> Iterator[tuple[str, Callable]]:
        said = {event.sentence for event in self.events}
        for thing, (x, y, radius) in self.seen.items():
            for direction, (right, down) in DIRECTIONS.items():
                sentence = f"the {' '.join(thing)} moves to the {direction}"
                free = []
                for steps in (1, 2, 3):
                    goal = x + right * steps * _CELL, y + down * steps * _CELL
                    if not self._is_free(goal, thing):
                        break
                    free.append((*goal, radius))
                if len(free) > 1 and sentence not in said and thing not in self.met:
                    yield (
                        sentence,
                        lambda length, thing=thing, goal=free[-1]: self._move(thing, goal, length),
                    )

    def _move(
        self, thing: _Thing, goal: tuple[float, float, float], length: float
    ) -> tuple[float, float]:
        self.moved.add(thing)
        return self._go(thing, goal, length)

    def _meetings(self) -> Iterator[tuple[str, Callable]]:
        said = {frozenset(event.sentence.split()) for event in self.events}
        for thing in self.seen:
            for other in self.seen:
                sentence = f"the {' '.join(thing)} meets the {' '.join(other)}"
                new = thing != other and frozenset(sentence.split()) not in said
                if new and thing not in self.moved and self._has_way(thing, other):
                    yield sentence, lambda length, a=thing, b=other: self._meet(a, b, length)

    def _meet(self, thing: _Thing, other: _Thing, length: float) -> tuple[float, float]:
        """Go to the other thing, stay as long as they are said to meet, and go back."""
        self.met.add(thing)
        home = self.seen[thing]
        here, there = np.array(home[:2]), np.array(self.seen[other][:2])
        way = there - here
        near = there - way / np.hypot(*way) * (home[2] + self.seen[other][2])
        self._go(thing, (*near, home[2]), _APPROACH)
        span = self._go(thing, (*near, home[2]), length)
        self._go(thing, home, _APPROACH)
        return span

    def _go(
        self, thing: _Thing, goal: tuple[float, float, float], length: float
    ) -> tuple[float, float]:
        """Bring a thing to x, y and radius, from now on."""
        start = self.now
        self.now = start + length
        self.keys[thing] += [(start, *self.keys[thing][-1][1:]), (self.now, *goal)]
        self.seen[thing] = goal
        return start, self.now

    def _free_cell(self) -> tuple[float, float]:
        cells = [(x + 0.5, y + 0.5) for x in range(SIZE // _CELL) for y in range(SIZE // _CELL)]
        free = [(x * _CELL, y * _CELL) for x, y in cells if self._is_free((x * _CELL, y * _CELL))]
        return free[self.draw.integers(len(free))]

    def _is_free(self, place: tuple[float, float], but: _Thing | None = None) -> bool:
        """Whether a thing can be at a place, without those that are there."""
        inside = all(_CELL / 2 <= value <= SIZE - _CELL / 2 for value in place)
        others = [where[:2] for thing, where in self.seen.items() if thing != but]
        return inside and all(np.hypot(*np.subtract(place, there)) > _GAP for there in others)

    def _has_way(self, thing: _Thing, other: _Thing) -> bool:
        """Whether no third thing is near the line between two."""
        here, there = (np.array(self.seen[one][:2]) for one in (thing, other))
        way = there - here
        for third in self.seen.keys() - {thing, other}:
            place = np.array(self.seen[third][:2])
            share = np.clip((place - here) @ way / (way @ way), 0, 1)
            if np.hypot(*(here + share * way - place)) < _GAP - 8:
                return False
        return True

    def _seconds(self, bounds: tuple[float, float]) -> float:
        """A length of whole frames."""
        return round(self.draw.uniform(*bounds) * RATE) / RATE
