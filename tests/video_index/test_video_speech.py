"""What is said in an index of video files: kept by `vmr index`, searched by `vmr search`."""

import json
import sys

import pytest

from tests.command_line import vmr
from tests.video_index.small import film, known, sentences
from vmr_jax.encoders.images import RANDOM
from vmr_jax.video_index.corpus import Corpus
from vmr_jax.zero_shot.joint_space import Sentences

RED = "a person opens the red door"
SRT = "00:00:03,100 --> 00:00:04,300\ngood day\n\n00:00:06,200 --> 00:00:07,700\n{}\n"


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    for number in range(2):
        film(folder / f"film{number}.mp4", 12, number)
    return folder


@pytest.fixture
def index(films, tmp_path, monkeypatch):
    """The command that indexes the films; the second one has subtitles."""
    known(monkeypatch)
    for path in films.glob("*.srt"):
        path.unlink()
    (films / "film1.en.srt").write_text(SRT.format("<i>opens the red door</i>"))
    return "index", films, "--out", tmp_path / "my.index", "--jobs", 0


def test_what_is_said_is_indexed_and_found(films, index, tmp_path):
    done = vmr(*index)
    assert done.exit_code == 0, done.output
    assert "said: 2 utterances in 1 videos" in done.stdout
    corpus = Corpus(tmp_path / "my.index", Sentences(sentences, RANDOM))
    seen = corpus.search(RED, top_k=50, modality="video")
    assert {one.found_by for one in seen} == {"video"}
    said = corpus.search(RED, modality="speech")
    assert said[0][:4] == ("film1", films / "film1.mp4", 6.2, 7.7)
    assert said[0].found_by == "speech" and said[0].score >= 1 / 61
    both = corpus.search(RED, top_k=50)
    first = next(one for one in both if (one.start_s, one.end_s) == (6.2, 7.7))
    assert first.found_by in ("speech", "speech+video")
    for top_k in range(1, 6):
        assert corpus.search(RED, top_k=top_k) == both[:top_k]
    alone = corpus.search(RED, top_k=50, videos=["film0"])
    assert {one.video for one in alone} == {"film0"}
    assert corpus.search(RED, videos=["film0"], modality="speech") == [
        one for one in said if one.video == "film0"
    ]
    with pytest.raises(ValueError, match="modality 'sound'; use one of both, video, speech"):
        corpus.search(RED, modality="sound")


def test_the_commands_say_what_found_a_moment(index, tmp_path):
    assert vmr(*index).exit_code == 0
    out = tmp_path / "my.index"
    shown = vmr("search", out, RED, "--modality", "speech").stdout
    assert "film1 │ 00:06.2 │ 00:07.7" in shown and "│ speech" in shown
    line = vmr("search", out, RED, "--modality", "speech", "--json").stdout
    assert json.loads(line)["moments"][0]["found_by"] == "speech"


def test_a_changed_or_given_file_is_read_again(films, index, tmp_path):
    assert vmr(*index).exit_code == 0
    (films / "film1.en.srt").write_text(SRT.format("shuts the blue window"))
    done = vmr(*index)
    assert "0 videos encoded" in done.stdout
    corpus = Corpus(tmp_path / "my.index", Sentences(sentences, RANDOM))
    assert corpus.search("blue window", modality="speech")[0].video == "film1"
    given = tmp_path / "subtitles"
    given.mkdir()
    (given / "film0.srt").write_text(SRT.format(RED))
    assert "said: 4 utterances in 2 videos" in vmr(*index, "--subtitles", given).stdout
    done = vmr(*index, "--subtitles", tmp_path / "none")
    assert str(done.exception) == f"no folder of subtitle files at {tmp_path / 'none'}"


def test_a_broken_file_is_a_line_and_costs_itself(films, index, tmp_path):
    (films / "film0.srt").write_text("broken")
    done = vmr(*index)
    assert done.exit_code == 0 and "said: 2 utterances in 1 videos" in done.stdout
    line = (
        f"  {films / 'film0.srt'} holds no subtitles that are read: they are SRT, VTT, ASS or SSA"
    )
    assert line in done.stderr.splitlines()
    assert line in vmr(*index).stderr.splitlines()


def test_an_index_in_which_nothing_is_said_says_so(films, index, tmp_path):
    (films / "film1.en.srt").unlink()
    assert "said:" not in vmr(*index).stdout
    done = vmr("search", tmp_path / "my.index", RED, "--modality", "speech")
    assert f"{tmp_path / 'my.index'} knows nothing that is said: index again with subtitle" in (
        str(done.exception)
    )
    assert vmr("search", tmp_path / "my.index", RED).exit_code == 0


def test_extras_that_are_missing_are_told(films, index, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    done = vmr(*index, "--speech", "tiny")
    assert "install it with: pip install 'vmr_jax[speech]'" in str(done.exception)
    monkeypatch.setitem(sys.modules, "pysubs2", None)
    done = vmr(*index)
    assert done.exit_code == 0
    assert "the subtitle files of 1 videos are left out: subtitles are read by pysubs2" in (
        done.stderr
    )
