"""Speech to text with a stand-in for faster-whisper, and what is said where it is missing."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest

from tests.video.films import write_film
from vmr_jax.speech.said import marks, read_said
from vmr_jax.speech.transcribe import open_speech_model, transcribe
from vmr_jax.speech.utterances import Utterance


class Model:
    """Hears a segment with a pause in any sound, and one without a span of time."""

    def __init__(self, name, compute_type="auto"):
        if name == "none":
            raise RuntimeError("no such\nmodel")
        self.name = name

    def transcribe(self, sound, vad_filter, word_timestamps):
        assert sound.dtype == np.float32 and sound.ndim == 1 and vad_filter and word_timestamps
        segments = [
            [(0.5, 0.7, " opens"), (0.7, 1.1, " the"), (1.6, 1.7, " red"), (2.3, 2.9, " door")],
            [(2.9, 2.9, "..")],
            [],
        ]
        return (
            SimpleNamespace(words=[SimpleNamespace(start=s, end=e, word=w) for s, e, w in words])
            for words in segments
        ), None


@pytest.fixture
def whisper(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", SimpleNamespace(WhisperModel=Model))


def test_speech_is_heard_where_nothing_is_written(tmp_path, whisper):
    film = write_film(tmp_path / "a.mp4", [i / 5 for i in range(15)], rate=5, sound=3.0)
    model = open_speech_model("small")
    heard = transcribe(film, model)
    assert heard.utterances == (
        Utterance(0.5, 1.7, "opens the red"),
        Utterance(2.3, 2.9, "door"),
    )
    assert heard.notes == (f"{film}: 1 of 3 lines do not end after they start",)
    assert read_said(film, (), model) == heard
    (tmp_path / "a.srt").write_text("00:00:01,000 --> 00:00:02,000\nwritten\n")
    assert [line.text for line in read_said(film, [tmp_path / "a.srt"], model).utterances] == [
        "written"
    ]
    assert marks(film, (), "small") != marks(film, (), "tiny")


def test_a_film_without_sound_is_told(tmp_path, whisper):
    film = write_film(tmp_path / "a.mp4", [0.0, 0.2], rate=5)
    assert transcribe(film, Model("")).notes == (f"{film} has no sound to hear speech in",)


def test_a_model_that_is_not_there_is_one_line(whisper):
    with pytest.raises(ValueError) as refused:
        open_speech_model("none")
    assert str(refused.value) == (
        "speech model 'none' cannot be opened (no such model); give a name of faster-whisper, such "
        "as small, which is fetched once, or a folder with its model.bin"
    )


def test_the_extra_of_speech_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    with pytest.raises(ValueError, match=r"install it with: pip install 'vmr_jax\[speech\]'"):
        open_speech_model("small")
