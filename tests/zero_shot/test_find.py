"""`vmr find` and `vmr_jax.find` on a small film with a small encoder, and what they refuse."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

import vmr_jax as vmr_package
from tests.command_line import vmr
from tests.extract.tiny import TINY
from tests.video.films import write_film
from vmr_jax.encoders.images import RANDOM, ImageEncoder
from vmr_jax.export.results import clock
from vmr_jax.speech.utterances import Read, Utterance
from vmr_jax.video.decode import read_info
from vmr_jax.zero_shot import find as find_module
from vmr_jax.zero_shot.joint_space import JointSpace

DOOR = "a person opens a door"


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_film(path, [index / 5 for index in range(80)], rate=5, noise=True)  # 16 s


@pytest.fixture(scope="module")
def images():
    return ImageEncoder("tiny", RANDOM, TINY, TINY.init())


@pytest.fixture
def space(monkeypatch, images):
    """A joint space whose sentences have random vectors."""

    def sentences(texts):
        return np.random.default_rng(1).normal(size=(len(texts), 8)).astype(np.float32)

    monkeypatch.setattr(find_module, "open_joint_space", lambda *_: JointSpace(images, sentences))


@pytest.fixture
def no_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_moments_of_a_film(film, space):
    whole = vmr_package.find(film, DOOR, top_k=9)
    assert whole and vmr_package.find(film, DOOR, top_k=1) == whole[:1]
    for moment in whole:
        assert 0 <= moment.start_s < moment.end_s <= 16.01
        assert moment.start_s % 2 == pytest.approx(0, abs=0.11)  # frames lie within 0.1 s
    done = vmr("find", film, DOOR, "--top", 9, "--json")
    assert json.loads(done.stdout) == {
        "video": str(film),
        "query": DOOR,
        "moments": [moment._asdict() for moment in whole],
    }
    shown = vmr("find", film, DOOR, "--top", 1).stdout
    assert f"{clock(whole[0].start_s)} │ {clock(whole[0].end_s)}" in shown
    assert shown.endswith("encoder concepts, a frame each 2 s, no training\n")


def test_what_is_made_of_the_moments(film, space, tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    names = ("--csv", "hits.csv", "--jsonl", "hits.jsonl", "--srt", "film.srt", "--edl", "hits.edl")
    monkeypatch.chdir(tmp_path)
    clips = ("--cut", "out", "--reencode", "--contact-sheet", "hits.png", "--open", 1)
    done = vmr("find", film, DOOR, "--top", 2, "--json", *names, *clips)
    assert done.exit_code == 0, done.output
    moments = json.loads(done.stdout)["moments"]
    first, second = (f"{one['start_s']:.2f}-{one['end_s']:.2f}" for one in moments)
    lengths = [one["end_s"] - one["start_s"] for one in moments]
    assert done.stderr.splitlines()[-8:] == [
        "hits.csv: 2 results",
        "hits.jsonl: 2 results",
        "film.srt: 2 of 2 results, those in film.mp4",
        "hits.edl: 2 results",
        "hits.png: 2 results",
        f"out/01-film-{first}.mp4: {lengths[0]:.2f} s",
        f"out/02-film-{second}.mp4: {lengths[1]:.2f} s",
        f"no player is here; see out/01-film-{first}.mp4 at 00:00.0",
    ]
    assert read_info(tmp_path / f"out/02-film-{second}.mp4").duration == pytest.approx(lengths[1])


def test_the_example_of_the_export_page_runs(film, space, tmp_path, monkeypatch, capsys):
    shutil.copy(film, tmp_path / "video.mp4")
    monkeypatch.chdir(tmp_path)
    page = Path(vmr_package.__file__).parents[1] / "docs/export.md"
    (example,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    exec(example, {})
    lines = capsys.readouterr().out.splitlines()
    assert lines and all(line.startswith("clips/0") for line in lines)
    assert len(Path("doors.csv").read_text().splitlines()) == 1 + len(lines)


def test_options_that_cannot_be_fulfilled_are_refused_before_the_search(film, tmp_path):
    for options, message in (
        (("--reencode",), "--reencode says how to cut: name a folder for the clips with --cut"),
        (("--contact-sheet", "hits.gif"), "hits.gif: a contact sheet is a picture; name it .png"),
        (("--csv", tmp_path / "none" / "hits.csv"), f"no folder {tmp_path}/none for hits.csv"),
    ):
        done = vmr("find", film, "no weights are needed", *options)
        assert done.exit_code == 1 and str(done.exception).startswith(message)


@pytest.mark.parametrize(
    ("sentence", "message"),
    [
        ("", "the sentence '' has no words; say what happens"),
        ("🚪🏃", "the sentence '🚪🏃' has no words"),
        ("door " * 400, "the sentence has 400 words, encoders read 60: say in fewer"),
    ],
)
def test_a_sentence_that_cannot_be_read_is_refused(film, sentence, message):
    with pytest.raises(ValueError, match=message) as refused:
        vmr_package.find(film, sentence)
    assert "\n" not in str(refused.value)


def test_a_file_without_pictures_is_refused(tmp_path, space):
    with pytest.raises(FileNotFoundError, match="no video at .*none.mp4"):
        vmr_package.find(tmp_path / "none.mp4", DOOR)
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(ValueError, match=r"text.mp4"):
        vmr_package.find(tmp_path / "text.mp4", DOOR)


def test_weights_that_are_not_here_have_a_command(film, no_weights):
    with pytest.raises(FileNotFoundError) as missing:
        vmr_package.find(film, DOOR)
    assert str(missing.value) == (
        "weights of concepts are not here: `vmr weights get concepts` fetches them (110 MB)"
    )
    with pytest.raises(FileNotFoundError, match="`vmr weights get clip-vit-b32 clip-tokenizer`"):
        vmr_package.find(film, DOOR, encoder="clip-vit-b32")
    with pytest.raises(ValueError, match="encoder 'i3d' has no sentences to compare with; use one"):
        vmr_package.find(film, DOOR, encoder="i3d")


SRT = """1
00:00:03,100 --> 00:00:04,300
good morning

2
00:00:06,200 --> 00:00:07,700
<i>opens the red door</i>
"""


def test_what_is_said_is_found_beside_what_is_seen(tmp_path, film, space):
    video = tmp_path / "film.mp4"
    video.write_bytes(film.read_bytes())
    seen = vmr_package.find(video, "a person opens the red door", top_k=50)
    assert {one.found_by for one in seen} == {"video"}
    (tmp_path / "film.en.srt").write_text(SRT)
    found = vmr_package.find(video, "a person opens the red door", top_k=50)
    said = [one for one in found if one.start_s == 6.2 and one.end_s == 7.7]
    assert len(said) == 1 and said[0].found_by in ("speech", "speech+video")
    assert vmr_package.find(video, "a person opens the red door", top_k=2) == found[:2]
    sights = vmr_package.find(video, "a person opens the red door", top_k=50, modality="video")
    assert sights == seen
    given = vmr_package.find(
        film, "a person opens the red door", top_k=50, subtitles=tmp_path / "film.en.srt"
    )
    assert given == found


def test_words_alone_need_no_weights(tmp_path, film, no_weights):
    video, subtitles = tmp_path / "film.mp4", tmp_path / "film.srt"
    video.write_bytes(film.read_bytes())
    sentence = "a person opens the red door"
    missing = "no subtitles are beside .*film.mp4 or in it, so that nothing is said: give a file"
    with pytest.raises(ValueError, match=missing):
        vmr_package.find(video, sentence, modality="speech")
    subtitles.write_text(SRT)
    (tmp_path / "film.de.srt").write_text("broken")
    done = vmr("find", video, sentence, "--modality", "speech")
    assert "1 │ 00:06.2 │ 00:07.7 │ 0.0164 │ speech" in done.stdout
    assert done.stdout.endswith("what is said, by its words\n")
    assert done.stderr == (
        f"vmr: {tmp_path / 'film.de.srt'} holds no subtitles that are read: they are SRT, VTT, ASS "
        "or SSA\n"
    )
    with pytest.raises(ValueError, match="modality 'sound'; use one of both, video, speech"):
        vmr_package.find(video, sentence, modality="sound")
    with pytest.raises(FileNotFoundError, match="no subtitles at"):
        vmr_package.find(video, sentence, subtitles=tmp_path / "none.srt")
    with pytest.raises(ValueError, match="film.de.srt holds no subtitles"):
        vmr_package.find(video, sentence, subtitles=tmp_path / "film.de.srt")


def test_a_video_without_subtitles_is_heard(film, monkeypatch):
    heard = []

    def transcribe(path, model):
        heard.append((path, model))
        return Read((Utterance(3.0, 5.0, "opens the red door"),), ())

    monkeypatch.setattr(find_module, "open_speech_model", lambda name: f"model {name}")
    monkeypatch.setattr("vmr_jax.speech.said.transcribe", transcribe)
    command = ("find", film, "the red door", "--modality", "speech", "--speech", "tiny", "--json")
    (moment,) = json.loads(vmr(*command).stdout)["moments"]
    assert (moment["start_s"], moment["end_s"]) == (3.0, 5.0) and heard == [(film, "model tiny")]
    refused = vmr("find", film, "the red door", "--checkpoint", "runs/x", "--speech", "tiny")
    assert "--checkpoint finds what is seen alone" in str(refused.exception)
