"""A folder is written by one process at a time, and a crash leaves nothing that blocks."""

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from vmr_jax.locks import locked

HOLD = """
import sys
from pathlib import Path
from vmr_jax.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that holds tmp_path / "run"."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_it_and_a_kill_frees_it(tmp_path, holder):
    folder = tmp_path / "run"
    with pytest.raises(ValueError) as refusal, locked(folder):
        pass
    who = f"{folder} is being written by process {holder.pid} on {socket.gethostname()} since "
    assert re.fullmatch(
        re.escape(who) + r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d: wait for it or stop it",
        str(refusal.value),
    )
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert (folder / ".lock").exists()
    with locked(folder):
        (folder / "metrics.json").touch()
    assert [path.name for path in folder.iterdir()] == ["metrics.json"]


def test_nothing_stays_of_what_wrote_nothing(tmp_path):
    with locked(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text().startswith(f"process {os.getpid()} on ")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_told(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    with (
        pytest.raises(PermissionError, match=r"/file cannot be written \(File exists\)$"),
        locked(tmp_path / "file"),
    ):
        pass


def test_without_locks_it_goes_on_and_says_so(tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path):
        pass
    said = f"{tmp_path} has no locks (Operation not supported): let no other process write there\n"
    assert capsys.readouterr().err == said


def test_a_refused_run_leaves_no_folder_that_it_made(tmp_path):
    with pytest.raises(RuntimeError), locked(tmp_path / "runs" / "first"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with locked(tmp_path / "runs" / "first"):
        (tmp_path / "runs" / "other").touch()
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["other"]
