"""How far an indexing is, as other processes are told."""

import json
import subprocess
import sys

import pytest

from tests.command_line import vmr
from tests.video_index.small import film, known
from vmr_jax.video_index import build
from vmr_jax.video_index.running import RUNNING, Running, running, telling


def test_it_is_told_while_it_runs(tmp_path):
    assert running(tmp_path) is None
    with telling(tmp_path) as tell:
        assert running(tmp_path) is None
        tell(3, 40)
        assert running(tmp_path) == Running(3, 40)
        other = json.loads((tmp_path / RUNNING).read_text()) | {"host": "elsewhere", "process": 1}
        (tmp_path / RUNNING).write_text(json.dumps(other))
        assert running(tmp_path) == Running(3, 40)
    assert not (tmp_path / RUNNING).exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"process": "x"}'])
def test_what_says_nothing_is_nothing(tmp_path, content):
    (tmp_path / RUNNING).write_text(content)
    assert running(tmp_path) is None


def test_a_killed_one_does_not_run(tmp_path):
    with telling(tmp_path) as tell:
        tell(3, 40)
        left = (tmp_path / RUNNING).read_text()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / RUNNING).write_text(json.dumps(json.loads(left) | {"process": gone.pid}))
    assert running(tmp_path) is None


def test_an_index_tells_each_video(tmp_path, monkeypatch):
    known(monkeypatch)
    folder, index = tmp_path / "films", tmp_path / "my.index"
    folder.mkdir()
    for number in range(2):
        film(folder / f"film{number}.mp4", 12, number)
    (folder / "text.mp4").write_text("no video")
    heard, extract = [], build.extract

    def listening(*given, tell, **settings):
        def both(done, videos):
            tell(done, videos)
            heard.append((done, running(index)))

        return extract(*given, tell=both, **settings)

    monkeypatch.setattr(build, "extract", listening)
    assert vmr("index", folder, "--out", index, "--jobs", 0).exit_code == 1
    assert heard == [(done, Running(done, 3)) for done in range(4)]
    assert not (index / RUNNING).exists()
