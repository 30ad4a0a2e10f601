"""What is said in the videos of an index: read once, read again where it changed, searched."""

import json

import numpy as np
import pytest

from vmr_jax.speech import store
from vmr_jax.speech.modality import rank_both, rank_spoken
from vmr_jax.speech.store import open_speech, read_entries, update_speech
from vmr_jax.speech.utterances import Utterance
from vmr_jax.speech.words import Said, Spoken

DOOR = "a person opens the red door"


def subtitles(path, *texts):
    lines = [
        f"{i + 1}\n00:00:0{i},000 --> 00:00:0{i},900\n{text}\n" for i, text in enumerate(texts)
    ]
    path.write_text("\n".join(lines))
    return path


@pytest.fixture
def corpus(tmp_path):
    """An index folder, two videos (whose content is never read) and their subtitle files."""
    (tmp_path / "index").mkdir()
    videos = {name: tmp_path / f"{name}.mp4" for name in ("a", "b")}
    for path in videos.values():
        path.write_bytes(b"none")
    files = {
        "a": [subtitles(tmp_path / "a.srt", "good day", "opens the red door")],
        "b": [subtitles(tmp_path / "b.srt", "a door")],
    }
    return tmp_path / "index", videos, files


@pytest.fixture
def read(monkeypatch):
    """The videos whose utterances are read, in order."""
    done = []

    def read_said(path, *rest):
        done.append(path.stem)
        return original(path, *rest)

    original = store.read_said
    monkeypatch.setattr(store, "read_said", read_said)
    return done


def encode(texts):
    return np.array([[len(text), 1.0] for text in texts], np.float32)


def update(corpus, kept=("a", "b")):
    index, videos, files = corpus
    return update_speech(index, videos, files, kept, encode)


def content(index):
    return {path: path.read_bytes() for path in index.rglob("*") if path.is_file()}


def test_what_is_said_is_kept_and_read_again_where_it_changed(corpus, read):
    index, _, files = corpus
    entries = update(corpus)
    assert read == ["a", "b"]
    assert [line.text for line in entries["a"].lines] == ["good day", "opens the red door"]
    before = content(index)
    assert update(corpus).keys() == entries.keys()
    assert read == ["a", "b"] and content(index) == before
    subtitles(files["b"][0], "another door")
    assert update(corpus)["b"].lines[0].text == "another door"
    assert read == ["a", "b", "b"]
    assert len(list(index.iterdir())) == 2  # said.json and one folder
    spoken = open_speech(index)
    assert spoken and spoken.by_words(DOOR)[0][:3] == ("a", 1.0, 1.9)
    rows = np.concatenate([entry.vectors for entry in read_entries(index).values()])
    np.testing.assert_allclose(rows, [[1, 1 / 8], [1, 1 / 18], [1, 1 / 12]], rtol=1e-2)


def test_videos_that_left_the_index_leave(corpus):
    index, _, _ = corpus
    update(corpus)
    assert list(update(corpus, kept=("b",))) == ["b"]
    spoken = open_speech(index)
    assert spoken and [video for video, _ in spoken.lines] == ["b"]


def test_videos_of_other_runs_stay(corpus):
    index, videos, files = corpus
    update(corpus)
    assert list(update_speech(index, {"b": videos["b"]}, files, ("a", "b"), encode)) == ["a", "b"]


def test_notes_are_kept(corpus):
    index, _, files = corpus
    files["a"][0].write_text("broken")
    for _ in range(2):
        assert update(corpus)["a"].notes[0].startswith(f"{files['a'][0]} holds no subtitles")
    files["b"][0].write_text("broken")
    update(corpus)
    assert open_speech(index) is None


def test_an_encoder_of_few_words_leaves_meaning_out(corpus):
    index, videos, files = corpus
    update_speech(index, videos, files, ("a", "b"), None)
    spoken = open_speech(index)
    assert spoken and spoken.by_words(DOOR)[0].video == "a"
    assert spoken.by_meaning(np.ones(2), np.ones((1, 2))) == []


def test_a_folder_without_speech_has_none(tmp_path):
    assert open_speech(tmp_path) is None


@pytest.mark.parametrize("damage", ["json", "rows", "lines", "words"])
def test_damage_is_one_line(corpus, damage):
    index, _, _ = corpus
    update(corpus)
    path = index / "said.json"
    if damage == "json":
        path.write_text(path.read_text()[:50])
    elif damage == "rows":
        np.save(next(index.glob("said-*/vectors.npy")), np.zeros((1, 2), np.float16))
    elif damage == "words":
        next(index.glob("said-*/words/vocab*")).write_text("{")
    else:
        found = json.loads(path.read_text())
        found["videos"]["a"]["lines"] = [[1, 2]]
        path.write_text(json.dumps(found))
    with pytest.raises(ValueError, match="said.json is damaged .*: delete it, and the same `"):
        open_speech(index)


def test_beside_what_is_seen_half_of_the_words_must_be_said():
    lines = [Utterance(0, 1, "red doors open"), Utterance(50, 51, "that person")]
    spoken, vector = Spoken({"a": lines}, np.zeros((2, 2), np.float16)), np.array([1.0, 0])
    assert [one.start_s for one in rank_spoken(spoken, DOOR)] == [0, 50]
    assert rank_spoken(spoken, DOOR, videos=["b"]) == []
    seen = [Said("b", 3, 9, 0.7), Said("a", 0, 20, 0.6)]
    found = rank_both(spoken, DOOR, vector, np.array([[0.0, 1.0]]), seen)
    assert found == [
        ("a", 0, 1, 1 / 61 + 1 / 62, ("speech", "video")),
        ("b", 3, 9, 1 / 61, ("video",)),
    ]
