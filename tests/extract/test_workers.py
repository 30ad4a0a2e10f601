"""Processes read videos: the same frames as here; one that dies costs its video; none stays."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.extract.crops import corner, dies_at, slow
from tests.video.films import write_film
from vmr_jax.extract import workers
from vmr_jax.extract.frames import Piece, Unreadable, Whole, read_video
from vmr_jax.extract.workers import read_videos
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import VideoFile

TENTHS = [index / 10 for index in range(30)]  # 3 s
EVERY = Sampling(every=1)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Three videos, of which the second is twice as wide; and a text."""
    folder = tmp_path_factory.mktemp("films")
    sizes = {"a": (64, 48), "b": (128, 48), "c": (64, 48)}
    found = [
        VideoFile(n, write_film(folder / f"{n}.mp4", TENTHS, size=s)) for n, s in sizes.items()
    ]
    (folder / "text.mp4").write_text("no video")
    return [*found, VideoFile("text", folder / "text.mp4")]


def in_order(events):
    """The events of each video, one video after the other, as one tuple an event."""
    told = [(e.video, type(e).__name__, *map(str, e[1:])) for e in events]
    return sorted(told, key=lambda event: event[0])


def test_processes_give_what_this_one_gives(videos):
    here = [
        event for n, video in enumerate(videos) for event in read_video(n, video, EVERY, corner)
    ]
    there = list(read_videos(videos, EVERY, corner, jobs=2))
    assert in_order(there) == in_order(here)
    assert sum(isinstance(event, Whole) for event in there) == 3
    (unreadable,) = (event for event in there if isinstance(event, Unreadable))
    assert unreadable.video == 3 and "is no video that FFmpeg reads" in unreadable.reason


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_process_that_dies_costs_its_video_alone(videos, jobs):
    deadly = partial(dies_at, width=128, level=20)
    events = list(read_videos(videos[:3], EVERY, deadly, jobs))
    assert {event.video for event in events if isinstance(event, Whole)} == {0, 2}
    (dead,) = (event for event in events if isinstance(event, Unreadable))
    assert dead.video == 1 and dead.second == pytest.approx(1.5)
    assert dead.reason == f"{videos[1].path}: the process that read it was ended by SIGSEGV"


def processes_of(parent: int) -> set[str]:
    """Started by any thread of it."""
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    return {child for each in lists for child in each.read_text().split()}


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
def test_none_stays_when_the_iterator_is_closed(videos):
    before = processes_of(os.getpid())
    with closing(read_videos(videos * 5, EVERY, slow, jobs=2)) as events:
        next(events)
        assert len(processes_of(os.getpid()) - before) == 2
    assert processes_of(os.getpid()) == before


def test_no_more_than_a_few_pieces_are_read_ahead(videos, monkeypatch):
    taken, queues = [], []
    make = workers.queue.Queue
    monkeypatch.setattr(workers.queue, "Queue", lambda size: queues.append(make(size)) or queues[0])
    with closing(read_videos(videos[:3] * 20, EVERY, corner, jobs=1)) as events:
        taken.append(next(events))
        time.sleep(1.0)
        assert queues[0].maxsize == queues[0].qsize() == 2
    assert isinstance(taken[0], Piece)


SCRIPT = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has none
from tests.extract.crops import slow
from vmr_jax.extract.workers import read_videos
from vmr_jax.video.sampling import Sampling
from vmr_jax.video.sources import VideoFile
videos = [VideoFile(str(n), Path(sys.argv[1])) for n in range(100)]
for event in read_videos(videos, Sampling(every=1), slow, 2):
    print("read", flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=str)
def test_none_stays_when_this_process_is_killed(videos, number):
    command = [sys.executable, "-c", SCRIPT, str(videos[0].path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout and process.stdout.readline() == b"read\n"
    children = processes_of(process.pid)
    assert len(children) == 2
    process.send_signal(number)
    process.communicate(timeout=180)
    until = time.monotonic() + 10
    while any(Path(f"/proc/{child}").exists() for child in children):
        assert time.monotonic() < until
        time.sleep(0.1)
    assert process.returncode != 0


def test_the_processes_import_no_jax():
    code = "import sys, vmr_jax.extract.worker, vmr_jax.encoders.crop; print('jax' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout == "False\n"
