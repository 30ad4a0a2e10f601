"""An index of three small films, and a client of its application."""

import pytest

from tests.command_line import vmr
from tests.video_index.small import film, known

ADDRESS = "http://127.0.0.1"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for number, seconds in enumerate((12, 16, 30)):
        film(folder / f"film{number}.mp4", seconds, number)
    return folder


@pytest.fixture(scope="module")
def index(films, tmp_path_factory):
    out = tmp_path_factory.mktemp("index") / "my.index"
    with pytest.MonkeyPatch.context() as patch:
        known(patch)
        done = vmr("index", films, "--out", out, "--jobs", 0)
    assert done.exit_code == 0, done.output
    return out
