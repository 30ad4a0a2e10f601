"""The embedded domains: what is in them, and that they are made once."""

import numpy as np
import pytest
from ml_collections import ConfigDict
from typer.testing import CliRunner

from vmr_jax import datasets
from vmr_jax.cli import app
from vmr_jax.configs import common
from vmr_jax.configs.common import DATASETS
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.simulation import embedded, grammar, grammar_events, grammar_spoken

# Clips 0 and 20 of the target's train_0000, first features: they move when the process changes;
# then raise embedded._VERSION.
GOLDEN_CLIPS = 35
GOLDEN = [[1.1279, 0.4307, 0.0, 0.8223], [1.2832, 0.0, 0.491, 0.0]]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A data directory with the first videos of the embedded domains."""
    data_dir = tmp_path_factory.mktemp("simulated")
    with pytest.MonkeyPatch.context() as patch:
        for name, world in list(grammar_events.WORLDS.items()):
            few = world._replace(videos={"train": 80, "val": 10, "test": 10})
            patch.setitem(grammar_events.WORLDS, name, few)
            embedded.build_simulated(data_dir, name)
        yield data_dir


def test_the_pair_loads_and_fits_its_config(built):
    for name in grammar_events.WORLDS:
        dataset = load_dataset(built, name, embedded.FEATURE_NAME)
        assert dataset.feature_name == DATASETS[name]["features"]
        assert dataset.videos.feature_dim == 64 and dataset.vectors.shape[1] == grammar.WORD_DIM
        assert set(dataset.splits) == {"train", "val", "test"}
        assert dataset.videos.num_clips.max() <= DATASETS[name]["max_clips"]
        assert dataset.videos.num_clips.min() >= 24
        words = np.concatenate([table.words.ravel() for table in dataset.splits.values()])
        assert not (words == 1).any()  # every word has a vector


def test_queries_have_their_chunks(built):
    for name in grammar_events.WORLDS:
        dataset = load_dataset(built, name, embedded.FEATURE_NAME, with_chunks=True)
        for table in dataset.splits.values():
            for sentence, chunks in zip(table.sentence, table.chunks, strict=True):
                np.testing.assert_array_equal(chunks, grammar_events.noun_chunks(sentence))


def test_patches_are_built_where_they_are_asked_for(tmp_path, monkeypatch):
    name = "simulated_target"
    small = grammar_events.WORLDS[name]._replace(videos={"train": 3, "val": 1, "test": 1})
    monkeypatch.setitem(grammar_events.WORLDS, name, small)
    with pytest.raises(FileNotFoundError, match="no features 'i3d'. It is simulated"):
        embedded.check_features(name, "i3d")
    embedded.build_simulated(tmp_path, name)
    config = common.run()
    config.target = common.domain_block(name, labels=True)
    config.target.update({"patches": "simulated_patches", "patch_frames": 6})
    config.text = ConfigDict(
        {"encoder": "clip", "size": "small", "tokenizer": "", "query_mask_mode": "drop"}
    )
    config.data_dir = str(tmp_path)
    domain = datasets.training_domains(config, ["target"])["target"]
    assert domain.dataset.patch_shape == (16, 64) and domain.patch_frames == 6
    assert domain.pairs.static.ok.all() and domain.pairs.dynamic.ok.all()
    before = load_dataset(tmp_path, name, "simulated", patch_name="simulated_patches")
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "write_dataset", lambda *a, **k: pytest.fail("built again"))
        embedded.build_simulated(tmp_path, name, patches=True)
    evaluated = datasets.open_dataset(config.target, config.data_dir)
    assert evaluated.patches is None  # prediction needs none
    assert before.fingerprint != evaluated.fingerprint


def test_features_are_the_same_everywhere(built):
    dataset = load_dataset(built, "simulated_target", embedded.FEATURE_NAME)
    row = dataset.videos.video_id.index("train_0000")
    clips = dataset.videos.features(row)
    assert clips.shape == (GOLDEN_CLIPS, 64)
    np.testing.assert_allclose(clips[[0, 20], :4], GOLDEN, atol=1e-3)


def test_a_second_start_builds_nothing_and_other_settings_build_again(built, monkeypatch):
    name = "simulated_target"
    before = load_dataset(built, name, embedded.FEATURE_NAME)
    with monkeypatch.context() as patch:
        patch.setattr(embedded, "write_dataset", lambda *a, **k: pytest.fail("built again"))
        embedded.build_simulated(built, name)
    with monkeypatch.context() as patch:
        small = grammar_events.WORLDS[name]._replace(videos={"train": 3, "val": 2, "test": 2})
        patch.setitem(grammar_events.WORLDS, name, small)
        embedded.build_simulated(built, name)
        assert len(load_dataset(built, name, embedded.FEATURE_NAME).videos.video_id) == 7
    embedded.build_simulated(built, name)
    after = load_dataset(built, name, embedded.FEATURE_NAME)
    assert after.fingerprint == before.fingerprint


def test_a_killed_build_is_built_again(tmp_path, monkeypatch):
    name = "simulated_target"
    small = grammar_events.WORLDS[name]._replace(videos={"train": 2, "val": 1, "test": 1})
    monkeypatch.setitem(grammar_events.WORLDS, name, small)

    def killed(*arguments, **options):
        write_dataset(*arguments, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(embedded, "write_dataset", killed)
        with pytest.raises(KeyboardInterrupt):
            embedded.build_simulated(tmp_path, name)
    embedded.build_simulated(tmp_path, name)
    assert len(load_dataset(tmp_path, name, embedded.FEATURE_NAME).videos.video_id) == 4


def test_unknown_domain(tmp_path):
    with pytest.raises(ValueError, match="no simulated dataset 'x'; known are simulated_source"):
        embedded.build_simulated(tmp_path, "x")


def test_command_builds_the_embedded_datasets(tmp_path, monkeypatch):
    few = {"train": 2, "test": 1}
    for name, domain in list(grammar_events.WORLDS.items()):
        monkeypatch.setitem(grammar_events.WORLDS, name, domain._replace(videos=few))
    corpus = grammar_spoken.CORPUS._replace(videos=few)
    monkeypatch.setattr(grammar_spoken, "CORPUS", corpus)
    done = CliRunner().invoke(app, ["simulate", "--data-dir", str(tmp_path)])
    assert done.exit_code == 0 and "simulated_source: features 'simulated'\n" in done.output
    assert "corpus: features 'simulated', subtitles 'simulated_subtitles'\n" in done.output
    assert load_dataset(tmp_path, "simulated_target", "simulated").videos.feature_dim == 64
    assert load_dataset(tmp_path, "simulated_corpus", "simulated").videos.feature_dim == 64
