"""Frames gathered into snippets, for encoders that make a row of several frames."""

from collections.abc import Iterable, Iterator

import numpy as np

from vmr_jax.extract.frames import Event, Piece, Whole


def in_snippets(events: Iterable[Event], length: int) -> Iterator[Event]:
    """Make the frames of each video, which may come mixed, snippets of `length` frames.

    Pieces then hold (n, length, ...) pixels, and the mean second of each snippet's frames. The last
    snippet is filled up with its last frame, and left out where less than half of it is there,
    unless it is the video's only one.
    """
    left: dict[int, Piece] = {}  # frames that make no snippet yet
    begun = set()  # videos of which a snippet was given
    for event in events:
        rest = left.pop(event.video, None)
        if isinstance(event, Piece):
            piece = _joined(rest, event)
            whole = len(piece.seconds) // length * length
            if whole:
                begun.add(event.video)
                yield _stacked(piece, whole, length)
            left[event.video] = _cut(piece, whole)
            continue
        frames = len(rest.seconds) if rest and isinstance(event, Whole) else 0
        if rest and frames and (2 * frames >= length or event.video not in begun):
            yield _filled(rest, length)
        yield event


def _joined(first: Piece | None, second: Piece) -> Piece:
    if first is None:
        return second
    pixels = np.concatenate([first.pixels, second.pixels])
    return second._replace(seconds=first.seconds + second.seconds, pixels=pixels)


def _cut(piece: Piece, first: int) -> Piece:
    return piece._replace(seconds=piece.seconds[first:], pixels=piece.pixels[first:])


def _stacked(piece: Piece, frames: int, length: int) -> Piece:
    """The first frames of a piece as snippets."""
    shape = (-1, length, *piece.pixels.shape[1:])
    seconds = np.reshape(piece.seconds[:frames], (-1, length)).mean(axis=1).tolist()
    return piece._replace(seconds=seconds, pixels=piece.pixels[:frames].reshape(shape))


def _filled(piece: Piece, length: int) -> Piece:
    """What is left as one snippet, its last frame repeated."""
    last = np.repeat(piece.pixels[-1:], length - len(piece.seconds), axis=0)
    pixels = np.concatenate([piece.pixels, last])[None]
    return piece._replace(seconds=[float(np.mean(piece.seconds))], pixels=pixels)
