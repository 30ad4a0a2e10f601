"""Snippets of frames: which frames and seconds they have, and what becomes of the last."""

import math

import numpy as np

from vmr_jax.extract.frames import Piece, Unreadable, Whole
from vmr_jax.extract.origin import Origin
from vmr_jax.extract.snippets import in_snippets

ORIGIN = Origin("a.mp4", 1, 2, "3")


def piece(video, *numbers):
    """Frames of one pixel that carry their numbers, a second each."""
    pixels = np.array(numbers, np.uint8)[:, None, None, None]
    return Piece(video, [float(number) for number in numbers], pixels, math.nan)


def whole(video):
    return Whole(video, math.nan, ORIGIN)


def snippets(*events):
    """What comes out, of pieces (video, seconds, numbers)."""
    return [
        (event.video, event.seconds, event.pixels[..., 0, 0, 0].tolist())
        if isinstance(event, Piece)
        else event
        for event in in_snippets(events, 4)
    ]


def test_frames_of_mixed_videos_are_gathered_in_order():
    found = snippets(piece(0, 0, 1, 2), piece(1, 10), piece(0, *range(3, 9)), whole(0))
    assert found == [(0, [1.5, 5.5], [[0, 1, 2, 3], [4, 5, 6, 7]]), whole(0)]  # 8 is left out


def test_half_a_snippet_is_filled_up_with_its_last_frame():
    found = snippets(piece(0, *range(6)), whole(0))
    assert found == [(0, [1.5], [[0, 1, 2, 3]]), (0, [4.5], [[4, 5, 5, 5]]), whole(0)]


def test_a_video_of_one_frame_is_a_snippet():
    assert snippets(piece(0, 7), whole(0)) == [(0, [7.0], [[7, 7, 7, 7]]), whole(0)]


def test_what_cannot_be_read_leaves_nothing():
    broken = Unreadable(0, "damaged", 2.0)
    assert snippets(piece(0, 1, 2, 3), broken) == [broken]
