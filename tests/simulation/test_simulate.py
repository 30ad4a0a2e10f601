import json
import subprocess
import sys

import h5py
import numpy as np
import pytest
from ml_collections import ConfigDict
from typer.testing import CliRunner
from vmr_jax.configs import common
from vmr_jax.configs.common import DATASETS

from vmr_jax import datasets
from vmr_jax.cli import app
from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.sources.features import open_features
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.simulation import grammar, grammar_spoken, planting, simulate

# Clips 0 and 20 of the target's train_0000, first features: they move when the process changes;
# then raise simulate._VERSION.
GOLDEN_CLIPS = 35
GOLDEN = [[-0.51514, -0.22266, -0.32593, -0.41821], [0.1012, -0.078, -0.32495, 0.00594]]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A data directory with the embedded domains."""
    data_dir = tmp_path_factory.mktemp("simulated")
    for name in grammar.DOMAINS:
        simulate.build_simulated(data_dir, name)
    return data_dir


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


def test_the_pair_loads_and_fits_its_config(built):
    for name in grammar.DOMAINS:
        dataset = load_dataset(built, name, simulate.FEATURE_NAME)
        assert dataset.feature_name == DATASETS[name]["features"]
        assert dataset.videos.feature_dim == 64 and dataset.vectors.shape[1] == grammar.WORD_DIM
        assert set(dataset.splits) == {"train", "val", "test"}
        assert dataset.videos.num_clips.max() <= DATASETS[name]["max_clips"]
        assert dataset.videos.num_clips.min() >= 24
        words = np.concatenate([table.words.ravel() for table in dataset.splits.values()])
        assert not (words == 1).any()  # every word has a vector


def test_queries_have_their_chunks(built):
    for name in grammar.DOMAINS:
        dataset = load_dataset(built, name, simulate.FEATURE_NAME, with_chunks=True)
        for table in dataset.splits.values():
            for sentence, chunks in zip(table.sentence, table.chunks, strict=True):
                np.testing.assert_array_equal(chunks, grammar.noun_chunks(sentence))


def test_patches_are_built_where_they_are_asked_for(tmp_path, monkeypatch):
    name = "simulated_target"
    small = grammar.DOMAINS[name]._replace(videos={"train": 3, "val": 1, "test": 1})
    monkeypatch.setitem(grammar.DOMAINS, name, small)
    with pytest.raises(FileNotFoundError, match="no features 'i3d'. It is simulated"):
        simulate.check_features(name, "i3d")
    simulate.build_simulated(tmp_path, name)
    config = common.run()
    config.target = common.domain(name, labels=True)
    config.target.update({"patches": "simulated_patches", "patch_frames": 6})
    config.text = ConfigDict(
        {"encoder": "clip", "size": "small", "tokenizer": "", "query_mask_mode": "drop"}
    )
    config.data_dir = str(tmp_path)
    domain = datasets.training_domains(config, ["target"])["target"]
    assert domain.dataset.patch_shape == (49, 64) and domain.patch_frames == 6
    assert domain.pairs.static.ok.all() and domain.pairs.dynamic.ok.all()
    before = load_dataset(tmp_path, name, "simulated", patch_name="simulated_patches")
    with monkeypatch.context() as patch:
        patch.setattr(simulate, "write_dataset", lambda *a, **k: pytest.fail("built again"))
        simulate.build_simulated(tmp_path, name, patches=True)
    evaluated = datasets.open_dataset(config.target, config.data_dir)
    assert evaluated.patches is None  # prediction needs none
    assert before.fingerprint != evaluated.fingerprint


def test_features_are_the_same_everywhere(built):
    dataset = load_dataset(built, "simulated_target", simulate.FEATURE_NAME)
    row = dataset.videos.video_id.index("train_0000")
    clips = dataset.videos.features(row)
    assert clips.shape == (GOLDEN_CLIPS, 64)
    np.testing.assert_allclose(clips[[0, 20], :4], GOLDEN, atol=1e-3)


def test_a_second_start_builds_nothing_and_other_settings_build_again(built, monkeypatch):
    name = "simulated_target"
    before = load_dataset(built, name, simulate.FEATURE_NAME)
    with monkeypatch.context() as patch:
        patch.setattr(simulate, "write_dataset", lambda *a, **k: pytest.fail("built again"))
        simulate.build_simulated(built, name)
    with monkeypatch.context() as patch:
        small = grammar.DOMAINS[name]._replace(videos={"train": 3, "val": 2, "test": 2})
        patch.setitem(grammar.DOMAINS, name, small)
        simulate.build_simulated(built, name)
        assert len(load_dataset(built, name, simulate.FEATURE_NAME).videos.video_id) == 7
    simulate.build_simulated(built, name)
    after = load_dataset(built, name, simulate.FEATURE_NAME)
    assert after.fingerprint == before.fingerprint


def test_a_killed_build_is_built_again(tmp_path, monkeypatch):
    name = "simulated_target"
    small = grammar.DOMAINS[name]._replace(videos={"train": 2, "val": 1, "test": 1})
    monkeypatch.setitem(grammar.DOMAINS, name, small)

    def killed(*arguments, **options):
        write_dataset(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(simulate, "write_dataset", killed)
        with pytest.raises(KeyboardInterrupt):
            simulate.build_simulated(tmp_path, name)
    simulate.build_simulated(tmp_path, name)
    assert len(load_dataset(tmp_path, name, simulate.FEATURE_NAME).videos.video_id) == 4


def test_unknown_domain(tmp_path):
    with pytest.raises(ValueError, match="no simulated dataset 'x'; known are simulated_source"):
        simulate.build_simulated(tmp_path, "x")


@pytest.mark.parametrize("name", grammar.DOMAINS)
def test_a_moments_clips_carry_its_words_and_others_do_not(name):
    domain = grammar.DOMAINS[name]
    domain = domain._replace(videos={"train": 150})
    annotations = grammar.annotate(domain)
    vectors = grammar.word_vectors(domain.side)
    features = dict(planting.plant(annotations, vectors, 64, domain.clip_seconds))
    records = annotations.splits["train"]
    sentences = planting.read_sentences((r.sentence for r in records), vectors, planting.PROCESS)
    appearance = planting.draw_appearance(name, 64, planting.PROCESS)
    inverse = np.linalg.inv(appearance.matrix)
    inside, outside, other = [], [], []
    for record in records:
        clips = features[record.video_id].astype(np.float64).clip(-0.999, 0.999)
        latent = (np.arctanh(clips) - appearance.offset) @ inverse.T
        likeness = latent @ sentences.meaning[sentences.row[record.sentence]]
        centre = (np.arange(len(clips)) + 0.5) * annotations.durations[record.video_id] / len(clips)
        within = (centre > record.moments[0, 0]) & (centre < record.moments[0, 1])
        inside.append(likeness[within].mean())
        outside.append(likeness[~within].mean())
        foreign = (
            latent @ sentences.meaning[(sentences.row[record.sentence] + 7) % len(sentences.words)]
        )
        other.append(foreign[within].mean())
    assert np.mean(inside) > 0.75
    assert abs(np.mean(outside)) < 0.15 and abs(np.mean(other)) < 0.15
    assert np.mean(np.array(inside) > outside) > 0.95


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
    assert patches.simulated and patches.ids == ("one", "two")
    assert patches.read("one").shape == (20, 49, 24) and patches.read("one").dtype == np.float16
    with pytest.raises(ValueError, match="patches.h5 is there already; --overwrite replaces it"):
        plant_own(own_data, "third.h5", patches=own_data / "patches.h5")


def test_subtitles_are_planted_beside_the_features(own_data):
    plant_own(own_data, subtitles=own_data / "sub.h5", subtitle_width=6)
    plant_own(own_data, "alone.h5")
    features, alone = (open_features(own_data / f) for f in ("features.h5", "alone.h5"))
    np.testing.assert_array_equal(features.read("one"), alone.read("one"))  # no types: in both
    subtitles = open_features(own_data / "sub.h5")
    assert subtitles.simulated and subtitles.ids == ("one", "two")
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


def test_command_builds_the_embedded_datasets(tmp_path, monkeypatch):
    few = {"train": 2, "test": 1}
    for name, domain in list(grammar.DOMAINS.items()):
        monkeypatch.setitem(grammar.DOMAINS, name, domain._replace(videos=few))
    corpus = grammar_spoken.CORPUS._replace(videos=few)
    monkeypatch.setattr(grammar_spoken, "CORPUS", corpus)
    done = CliRunner().invoke(app, ["simulate", "--data-dir", str(tmp_path)])
    assert done.exit_code == 0 and "simulated_source: features 'simulated'\n" in done.output
    assert "corpus: features 'simulated', subtitles 'simulated_subtitles'\n" in done.output
    assert load_dataset(tmp_path, "simulated_target", "simulated").videos.feature_dim == 64
    assert load_dataset(tmp_path, "simulated_corpus", "simulated").videos.feature_dim == 64


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
