"""Videos read by processes of their own, while this one encodes."""

import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np

from vmr_jax.extract.frames import Event, Piece, Unreadable
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import FrameSource, VideoFile

_AHEAD = 2  # pieces a process that wait to be taken
_WAIT = 0.05  # seconds


def read_videos(
    videos: Sequence[FrameSource],
    sampling: Sampling,
    crop: Callable[[np.ndarray], np.ndarray],
    jobs: int,
) -> Generator[Event]:
    """Yield the events of `read_video` of all videos, mixed, read by `jobs` processes.

    A process that dies costs the video that it was reading, and another takes its place. No more
    than a few pieces a process are in memory. The processes end with the iterator, or with this
    process, whatever ends it.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    tasks = iter([(number, _with_threads(video, threads)) for number, video in enumerate(videos)])
    readers = _Readers(tasks, (sampling, crop), min(jobs, len(videos)))
    try:
        yield from readers.events()
    finally:
        readers.close()


def _with_threads(video: FrameSource, threads: int) -> FrameSource:
    return video._replace(threads=threads) if isinstance(video, VideoFile) else video


class _Readers:
    """A thread for each process, which hands it videos and takes what it sends."""

    def __init__(self, tasks: Iterator[tuple[int, FrameSource]], setting: tuple, jobs: int):
        self._tasks, self._setting = tasks, setting
        self._lock = threading.Lock()
        self._ending = False
        self._queue: queue.Queue[Event | BaseException | None] = queue.Queue(_AHEAD * jobs)
        self._processes: dict[int, subprocess.Popen] = {}
        self._threads = [
            threading.Thread(target=self._follow, args=(place,), daemon=True)
            for place in range(jobs)
        ]
        for thread in self._threads:
            thread.start()

    def events(self) -> Iterator[Event]:
        """What the processes send, until all are done."""
        open_ = len(self._threads)
        while open_:
            event = self._queue.get()
            if isinstance(event, BaseException):
                raise event
            if event is None:
                open_ -= 1
            else:
                yield event

    def close(self) -> None:
        """End the processes and the threads."""
        with self._lock:
            self._ending = True
            for process in self._processes.values():
                process.kill()
        for thread in self._threads:
            while thread.is_alive():
                with suppress(queue.Empty):
                    self._queue.get_nowait()  # a thread may wait for a place
                thread.join(_WAIT)

    def _follow(self, place: int) -> None:
        """Let a process read one video after the other; start it again where it died."""
        connection: Connection | None = None
        try:
            while task := self._next():
                connection = connection or self._start(place)
                if connection is None or not self._read(connection, *task, place):
                    connection = None
        except BaseException as error:
            self._queue.put(error)
        finally:
            if connection is not None:
                connection.close()
            if place in self._processes:
                self._processes[place].wait()
            self._queue.put(None)

    def _next(self) -> tuple[int, FrameSource] | None:
        with self._lock:
            return None if self._ending else next(self._tasks, None)

    def _start(self, place: int) -> Connection | None:
        """A new process; None where all are being ended."""
        ours, theirs = Pipe()
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        command = [sys.executable, "-m", "vmr_jax.extract.worker", str(theirs.fileno())]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
        with self._lock, theirs:
            if self._ending:
                return None
            self._processes[place] = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], env=environment, stdin=subprocess.DEVNULL
            )
        with suppress(OSError):  # it died; reading from it says so
            ours.send(self._setting)
        return ours

    def _read(self, connection: Connection, number: int, video: FrameSource, place: int) -> bool:
        """Pass on what a process sends of a video; tell whether it lives on."""
        reached = math.nan
        try:
            connection.send((number, video))
            while True:
                event = connection.recv()
                self._queue.put(event)
                if not isinstance(event, Piece):
                    return True
                reached = event.seconds[-1]
        except (EOFError, OSError):
            connection.close()
            ended = _how_it_ended(self._processes[place].wait())
            reason = f"{video.path}: the process that read it {ended}"
            self._queue.put(Unreadable(number, reason, reached))
            return False


def _how_it_ended(status: int) -> str:
    """Say what an exit status means, in words."""
    if status >= 0:
        return f"ended with status {status}"
    return f"was ended by {signal.Signals(-status).name}"
