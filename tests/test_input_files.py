"""Only regular files are opened, whatever reads them; sizes are bounded."""

import os
import socket

import pytest

from vmr_jax.data.sources.features import open_features
from vmr_jax.data.text.vocabulary import load_glove
from vmr_jax.evaluation.predictions import read_predictions
from vmr_jax.evaluation.submission import is_submission, read_submission
from vmr_jax.input_files import check_unpacked, read_json, refuse_video, require_file
from vmr_jax.search.queries import read_queries
from vmr_jax.weights.tensors import read_tensors


@pytest.mark.parametrize(
    ("read", "what"),
    [
        (read_tensors, "weights"),
        (read_predictions, "predictions"),
        (read_submission, "predictions"),
        (read_queries, "queries"),
        (lambda path: load_glove(path, ["a"]), "word vectors"),
        (open_features, "features"),
    ],
)
def test_a_pipe_is_refused_at_once(tmp_path, read, what):
    path = tmp_path / "input"
    with pytest.raises(FileNotFoundError, match=f"no {what} at .*input"):
        read(path)
    os.mkfifo(path)
    with pytest.raises(ValueError, match=f"input is a pipe; {what} are read from a regular file"):
        read(path)
    assert not is_submission(path)


def test_what_is_no_regular_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the name of a socket is short
    (tmp_path / "link").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        for name, kind in {"link": "directory", "socket": "socket", "/dev/zero": "device"}.items():
            with pytest.raises(ValueError, match=f"{name} is a {kind}; lines are read from a reg"):
                require_file(name, "lines")
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match="no lines at file/inside"):
        require_file("file/inside", "lines")
    assert require_file("file", "lines").name == "file"


def test_the_bound_of_what_is_unpacked(monkeypatch):
    check_unpacked(64 * 2**20, 1, "small")
    check_unpacked(10**9, 10**7, "as arrays are")
    message = "odd has 9,999,999 bytes and would unpack to 1,000,000,000: more than 100 times as "
    with pytest.raises(
        ValueError, match=f"{message}many are refused, unless VMR_MAX_UNPACKED=1000"
    ):
        check_unpacked(10**9, 9_999_999, "odd")
    monkeypatch.setenv("VMR_MAX_UNPACKED", "1000000000")
    check_unpacked(10**9, 9_999_999, "odd")


def test_an_empty_file_is_no_video(tmp_path):
    (tmp_path / "empty").touch()
    refuse_video(tmp_path / "empty")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ('{"model": {"mIoU": 3', "Expecting ',' delimiter"),
        ("", "Expecting value"),
        ("[1]", "it holds no JSON object"),
        ("[" * 100_000, "recursion"),
        ("{}", "it lacks model"),
    ],
)
def test_a_damaged_json_file_is_named(tmp_path, content, fault):
    path = tmp_path / "metrics.json"
    path.write_text(content)
    with pytest.raises(ValueError) as refusal:
        read_json(path, "delete it", "model")
    message = str(refusal.value)
    assert message.startswith(f"{path} is damaged (") and message.endswith("): delete it")
    assert fault in message and "\n" not in message
