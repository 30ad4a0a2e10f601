"""What test processes do to the frames that they read."""

import os
import signal
import time

import numpy as np

from tests.video.films import number


def corner(image):
    """The lower right quarter of a frame, of any size."""
    return np.ascontiguousarray(image[-24:, -32:])


def dies_at(image, width, level):
    """Crash the process at a frame of this width and grey level."""
    if image.shape[1] == width and number(image) == level:
        os.kill(os.getpid(), signal.SIGSEGV)
    return corner(image)


def slow(image):
    time.sleep(0.05)
    return corner(image)
