"""`vmr serve` as a process: its address, its warning, its end."""

import re
import signal
import socket
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="needs the extra app")

from tests.command_line import vmr
from tests.serve.served import films, index  # noqa: F401
from tests.video_index.small import known
from vmr_jax.encoders import demo_words
from vmr_jax.video_index.corpus import _FIRST

ROOT = Path(__file__).parents[2]


@contextmanager
def serving(index, *options):  # noqa: F811
    """A server of an index on a free port: (process, address)."""
    command = [sys.executable, "-m", "tests.serve.start", str(index), "--port", "0", *options]
    with subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        line = process.stdout.readline()
        found = re.search(r"http://\S+/", line)
        assert found, line + process.stderr.read()
        try:
            yield process, found[0]
        finally:
            process.kill()


def test_ctrl_c_ends_it_while_a_video_is_read(index):  # noqa: F811
    with serving(index) as (process, address):
        open_video = urllib.request.urlopen(f"{address}video/film2")
        assert open_video.read(100)
        host, port = address[7:-1].split(":")
        idle = socket.create_connection((host, int(port)))
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=60)
        idle.close()
    assert process.returncode == 0 and out == "" and "Traceback" not in error


def test_an_address_for_all_is_warned_of(index):  # noqa: F811
    with serving(index, "--host", "0.0.0.0") as (process, address):
        port = address[:-1].rpartition(":")[2]
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/health", headers={"Host": "anything"}
        )
        assert urllib.request.urlopen(request).status == 200
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert "warning: 0.0.0.0 is reached from other machines, and there is no login" in error


def test_what_cannot_be_served_is_said_in_a_line(index, monkeypatch, tmp_path):  # noqa: F811
    known(monkeypatch)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = vmr("serve", index, "--port", port)
    assert f"port {port} cannot be had (another program has it)" in str(done.exception)
    assert "choose another --port" in str(done.exception)
    done = vmr("serve", index, "--port", 0, "--host", "no.such.host.invalid")
    assert "no.such.host.invalid port 0 cannot be had" in str(done.exception)
    done = vmr("serve", tmp_path / "nowhere", "--port", 0)
    assert "`vmr index VIDEOS --out` makes one" in str(done.exception)


def test_every_encoder_knows_the_first_sentence():
    assert set(_FIRST.split()) <= set(demo_words.WORDS)


def test_a_missing_extra_is_named(index, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    monkeypatch.delitem(sys.modules, "vmr_jax.serve.server", raising=False)
    done = vmr("serve", index)
    assert "pip install 'vmr_jax[app]'" in str(done.exception)
    monkeypatch.setitem(sys.modules, "mcp.server", None)
    monkeypatch.delitem(sys.modules, "vmr_jax.serve.tools", raising=False)
    assert "pip install 'vmr_jax[mcp]'" in str(vmr("mcp", index).exception)
