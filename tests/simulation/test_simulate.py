"""Features planted into real annotations, and the command that does it."""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from typer.testing import CliRunner

from vmr_jax.cli import app
from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.sources.features import open_features
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.simulation import planting, simulate


@pytest.fixture
def own_data(tmp_path):
    """Annotations in the community's format, and a GloVe text file without the word "purple"."""
    lines = [
        {"qid": 1, "query": "A man opens the door.", "vid": "one", "duration": 20.4,
         "relevant_windows": [[2, 9]]},
        {"qid": 2, "query": "the purple man lifts a box", "vid": "one", "duration": 20.4,
         "relevant_windows": [[12, 18]]},
        {"qid": 3, "query": "purple!", "vid": "two", "duration": 9, "relevant_windows": [[1, 5]]},
        {"qid": 4, "query": "the man closes a box", "vid": "two", "duration": 9},
    ]  # fmt: skip
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    rows = []
    for word in ["a", "man", "opens", "the", "door", "lifts", "box", "closes"]:
        values = planting.generator("glove", word).standard_normal(6)
        rows.append(" ".join([word, *(f"{value:.5f}" for value in values)]))
    (tmp_path / "glove.txt").write_text("\n".join(rows) + "\n")
    return tmp_path


def plant_own(folder, out="features.h5", **changes):
    arguments = {
        "dataset": "jsonl",
        "annotations_dir": folder / "train.jsonl",
        "glove": folder / "glove.txt",
        "width": 24,
        "out": folder / out,
    }
    return simulate.simulate_features(**(arguments | changes))


def test_planted_annotations_are_read_back(own_data):
    planted = plant_own(own_data)
    assert planted == simulate.Planted(videos=2, clips=29, words=8, unknown=1, queries=4, silent=2)
    source = open_features(own_data / "features.h5")
    assert source.ids == ("one", "two")
    assert {v: source.read(v).shape for v in source.ids} == {"one": (20, 24), "two": (9, 24)}
    assert source.read("one").dtype == np.float16
    plant_own(own_data, "again.h5")
    plant_own(own_data, "other.h5", name="mine")
    again, other = (open_features(own_data / f) for f in ("again.h5", "other.h5"))
    np.testing.assert_array_equal(again.read("one"), source.read("one"))
    assert not np.allclose(other.read("one"), source.read("one"), atol=0.1)
    plant_own(own_data, "long.h5", clip_seconds=4.0)
    assert open_features(own_data / "long.h5").read("one").shape == (5, 24)


def test_patches_are_planted_beside_the_features(own_data):
    plant_own(own_data, patches=own_data / "patches.h5")
    plant_own(own_data, "alone.h5")
    features, alone = (open_features(own_data / f) for f in ("features.h5", "alone.h5"))
    np.testing.assert_array_equal(features.read("one"), alone.read("one"))
    patches = open_features(own_data / "patches.h5", patches=True)
    assert patches.made_up == "simulated" and patches.ids == ("one", "two")
    assert patches.read("one").shape == (20, 49, 24) and patches.read("one").dtype == np.float16
    with pytest.raises(ValueError, match="patches.h5 is there already; --overwrite replaces it"):
        plant_own(own_data, "third.h5", patches=own_data / "patches.h5")


def test_subtitles_are_planted_beside_the_features(own_data):
    plant_own(own_data, subtitles=own_data / "sub.h5", subtitle_width=6)
    plant_own(own_data, "alone.h5")
    features, alone = (open_features(own_data / f) for f in ("features.h5", "alone.h5"))
    np.testing.assert_array_equal(features.read("one"), alone.read("one"))  # no types: in both
    subtitles = open_features(own_data / "sub.h5")
    assert subtitles.made_up == "simulated" and subtitles.ids == ("one", "two")
    said = subtitles.read("one")
    assert said.shape == (20, 6) and said.dtype == np.float16
    assert said[3:9].any(axis=1).all() and said[13:17].any(axis=1).all()
    with pytest.raises(ValueError, match="sub.h5 is there already; --overwrite replaces it"):
        plant_own(own_data, "third.h5", subtitles=own_data / "sub.h5")
    with pytest.raises(ValueError, match="width 0 and clip seconds 1.0 must be positive"):
        plant_own(own_data, "third.h5", subtitles=own_data / "new.h5", subtitle_width=0)


def test_a_querys_type_says_where_it_is_planted(tmp_path):
    lines = [
        {"vid_name": vid, "duration": 30.0, "ts": [6, 24], "desc": desc, "type": kind, "desc_id": n}
        for n, (vid, desc, kind) in enumerate(
            [("a", "man opens", "v"), ("b", "man opens", "t"), ("c", "man opens", "vt")]
        )
    ]
    path = tmp_path / "tvr_val_release.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    durations = {"val": {video: [30.0, n] for n, video in enumerate("abc")}}
    (tmp_path / "tvr_video2dur_idx.json").write_text(json.dumps(durations))
    (tmp_path / "glove.txt").write_text("man 1 2 3\nopens 3 -1 0\nother 0 1 0\n")
    files = {"annotations_dir": tmp_path, "glove": tmp_path / "glove.txt", "clip_seconds": 1.5}
    plant = {"dataset": "tvr", "width": 16, "out": tmp_path / "v.h5"} | files
    simulate.simulate_features(**plant, subtitles=tmp_path / "t.h5", subtitle_width=16)
    said = open_features(tmp_path / "t.h5")
    assert {v: bool(said.read(v).any()) for v in "abc"} == {"a": False, "b": True, "c": True}
    assert said.read("b")[6:14].any(axis=1).all()
    records = read_annotations("tvr", tmp_path).splits["val"]
    assert [record.modality for record in records] == ["v", "t", "vt"]
    rest = [r for r in records if "v" in r.modality]
    shown = open_features(tmp_path / "v.h5")
    annotations = read_annotations("tvr", tmp_path)._replace(splits={"val": rest})
    vectors = {"man": np.array([1.0, 2, 3]), "opens": np.array([3.0, -1, 0])}
    for video, clips in planting.plant(annotations, vectors, 16, 1.5):
        np.testing.assert_array_equal(clips, shown.read(video))


def test_planted_features_prepare(own_data):
    plant_own(own_data)
    annotations = read_annotations("jsonl", own_data / "train.jsonl")._replace(name="mine")
    features = open_features(own_data / "features.h5")
    write_dataset(own_data / "data", annotations, features, "planted", None)
    dataset = load_dataset(own_data / "data", "mine", "planted")
    assert dataset.videos.num_clips.tolist() == [20, 9]


def test_an_existing_file_is_kept_unless_told(own_data):
    (own_data / "features.h5").write_text("precious")
    with pytest.raises(ValueError, match="features.h5 is there already; --overwrite replaces it"):
        plant_own(own_data)
    assert (own_data / "features.h5").read_text() == "precious"
    plant_own(own_data, overwrite=True)
    with h5py.File(own_data / "features.h5") as file:
        assert set(file) == {"one", "two"}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"dataset": "kinetics"}, ValueError, "unknown dataset 'kinetics'; known are charades_sta"),
        ({"glove": "none.txt"}, FileNotFoundError, "no word vectors at"),
        ({"annotations_dir": "nowhere"}, FileNotFoundError, "does not exist"),
        ({"width": 0}, ValueError, "width 0 and clip seconds 1.0 must be positive"),
        ({"clip_seconds": -1.0}, ValueError, "width 24 and clip seconds -1.0 must be positive"),
    ],
)
def test_bad_input(own_data, changes, error, message):
    changes = {
        key: own_data / value if key in ("glove", "annotations_dir") else value
        for key, value in changes.items()
    }
    with pytest.raises(error, match=message):
        plant_own(own_data, **changes)
    assert not list(own_data.glob("*.h5*")) and not list(own_data.glob(".*"))


def test_vectors_of_other_words_are_refused(own_data):
    (own_data / "glove.txt").write_text("zebra 1 2 3\n")
    with pytest.raises(ValueError, match="a vector for none of the 9 words of jsonl"):
        plant_own(own_data)


def test_faulty_annotations_are_refused(own_data):
    line = {"qid": 1, "query": "a man", "vid": "three", "duration": -4, "relevant_windows": []}
    with (own_data / "train.jsonl").open("a") as file:
        file.write(json.dumps(line) + "\n")
    with pytest.raises(ValueError, match="duration is not a positive number"):
        plant_own(own_data)


def test_an_interrupted_run_leaves_no_file(own_data):
    def interrupt(items, label, total):
        yield next(iter(items))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plant_own(own_data, progress=interrupt)
    assert not list(own_data.glob("*.h5*")) and not list(own_data.glob(".*"))


def test_command(own_data):
    command = [sys.executable, "-m", "vmr_jax.cli", "simulate", "--annotations", "jsonl"]
    files = ["--annotations-dir", str(own_data), "--glove", str(own_data / "glove.txt")]
    out = ["--width", "32", "--out", str(own_data / "planted.h5")]
    out += ["--patches", str(own_data / "grids.h5"), "--subtitles", str(own_data / "said.h5")]
    out += ["--subtitle-width", "16"]
    done = subprocess.run(command + files + out, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    for line in (
        "planted.h5: 2 videos, 29 clips of width 32\n",
        "grids.h5: patches of these clips, of width 32\n",
        "said.h5: subtitles of these clips, of width 16\n",
        "8 words have a vector, 1 have none and carry nothing; 2 of 4 queries plant nothing\n",
    ):
        assert line in done.stdout
    again = subprocess.run(command + files + out, capture_output=True, text=True, timeout=120)
    assert again.returncode == 1
    assert again.stderr.startswith("vmr: ") and "--overwrite replaces it" in again.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--annotations", "jsonl", "--glove", "g"], "also needs --annotations-dir, --out"),
        (["--out", "x.h5"], "--annotations names the dataset whose files these are"),
    ],
)
def test_command_needs_its_files(arguments, message):
    done = CliRunner().invoke(app, ["simulate", *arguments])
    assert isinstance(done.exception, ValueError) and message in str(done.exception)
