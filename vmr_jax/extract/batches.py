"""The frames of many videos through an encoder, in batches of one shape."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vmr_jax.extract.frames import Event, Unreadable, Whole
from vmr_jax.types import Array


class Encoded(NamedTuple):
    """A video's features."""

    video: int
    seconds: list[float]  # of each row
    rows: np.ndarray  # (N, width) float32
    whole: Whole


@dataclass
class Waits:
    """Seconds in which nothing was to do but wait."""

    decoding: float = 0.0  # for frames
    device: float = 0.0  # for rows


def encode_videos(
    events: Iterable[Event], run: Callable[[np.ndarray], Array], batch_size: int, waits: Waits
) -> Iterator[Encoded | Unreadable]:
    """Yield the features of each video, and those that have none, as they come.

    The frames of different videos may come mixed and share a batch, whose last places are zeros
    where there are no more: `run` (B, ...) -> (B, width) sees one shape, so that it is compiled
    once. While it runs, the next batch is collected.
    """
    videos: dict[int, _Open] = {}
    batches = _Batches(run, batch_size, waits)
    for event in _waiting(iter(events), waits):
        if isinstance(event, Unreadable):
            videos.pop(event.video, None)
            yield event
            continue
        video = videos.setdefault(event.video, _Open())
        if isinstance(event, Whole):
            video.whole = event
            yield from _ended(videos)
            continue
        video.seconds += event.seconds
        for number, rows in batches.put(event.video, event.pixels):
            if number in videos:
                videos[number].add(rows)
        yield from _ended(videos)
    for number, rows in batches.rest():
        if number in videos:
            videos[number].add(rows)
    yield from _ended(videos)


@dataclass
class _Open:
    """A video whose rows are on their way."""

    seconds: list[float] = field(default_factory=list)
    rows: list[np.ndarray] = field(default_factory=list)
    there: int = 0
    whole: Whole | None = None

    def add(self, rows: np.ndarray) -> None:
        self.rows.append(rows)
        self.there += len(rows)


def _ended(videos: dict[int, _Open]) -> Iterator[Encoded]:
    """Take out the videos all of whose rows are there."""
    for number, video in list(videos.items()):
        if video.whole and video.there == len(video.seconds):
            del videos[number]
            yield Encoded(number, video.seconds, np.concatenate(video.rows), video.whole)


class _Batches:
    """Frames in, rows out: in the same order, one batch later."""

    def __init__(self, run: Callable[[np.ndarray], Array], size: int, waits: Waits):
        self._run, self._size, self._waits = run, size, waits
        self._images: np.ndarray | None = None
        self._owners: list[tuple[int, int]] = []  # (video, its next so many frames)
        self._running: tuple[Array, list[tuple[int, int]]] | None = None

    def put(self, video: int, pixels: np.ndarray) -> list[tuple[int, np.ndarray]]:
        """Add frames (n, ...); give (video, rows) of what is done."""
        done = []
        while len(pixels):
            if self._images is None:
                self._images = np.zeros((self._size, *pixels.shape[1:]), np.uint8)
            filled = sum(count for _, count in self._owners)
            part = pixels[: self._size - filled]
            self._images[filled : filled + len(part)] = part
            self._owners.append((video, len(part)))
            pixels = pixels[len(part) :]
            if filled + len(part) == self._size:
                done += self._send()
        return done

    def rest(self) -> list[tuple[int, np.ndarray]]:
        """Encode what is left; give (video, rows) of all that was not given."""
        return (self._send() if self._owners else []) + self._fetch()

    def _send(self) -> list[tuple[int, np.ndarray]]:
        assert self._images is not None
        sent = self._run(self._images), self._owners
        self._images, self._owners = None, []
        done = self._fetch()
        self._running = sent
        return done

    def _fetch(self) -> list[tuple[int, np.ndarray]]:
        """Wait for the batch that runs."""
        if self._running is None:
            return []
        (encoded, owners), self._running = self._running, None
        began = time.monotonic()
        rows = np.asarray(encoded)
        self._waits.device += time.monotonic() - began
        ends = np.cumsum([count for _, count in owners])
        parts = np.split(rows[: ends[-1]], ends[:-1])
        return [(video, part) for (video, _), part in zip(owners, parts, strict=True)]


def _waiting(events: Iterator[Event], waits: Waits) -> Iterator[Event]:
    """Measure how long the events are waited for."""
    while True:
        began = time.monotonic()
        event = next(events, None)
        waits.decoding += time.monotonic() - began
        if event is None:
            return
        yield event
