"""A process that reads videos for `vmr_jax.extract.workers`; JAX is not imported here."""

import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from vmr_jax.extract.frames import read_video


def serve(connection: Connection) -> None:
    """Receive (sampling, crop), then a (number, video) at a time, and send all its events.

    It ends where the other side does, whatever ended that.
    """
    with suppress(EOFError, OSError):
        sampling, crop = connection.recv()
        while True:
            number, video = connection.recv()
            for event in read_video(number, video, sampling, crop):
                connection.send(event)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the process that reads from it
    serve(Connection(int(sys.argv[1])))
