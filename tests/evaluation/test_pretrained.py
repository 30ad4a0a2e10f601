"""A run as a folder to hand on: the same moments, and what its card says."""

import json
import sys
import types

import numpy as np
import pytest

from tests.conftest import small_mmn, small_vlanet
from tests.evaluation.random_runs import save_random_run
from vmr_jax.evaluation import predictor
from vmr_jax.evaluation.predictor import load

CLIPS = np.random.default_rng(0).normal(size=(10, 8))
REPORT = {
    "dataset": "toy_target",
    "split": "test",
    "queries": 10,
    "model": {"R@1,IoU=0.5": 12.5, "mIoU": 20.0},
    "random": {"R@1,IoU=0.5": 5.0, "mIoU": 10.0},
}


@pytest.fixture(scope="module")
def run(tmp_path_factory, toy_data):
    """A run of VLANet, with a report."""
    workdir = tmp_path_factory.mktemp("vlanet")
    save_random_run(workdir, small_vlanet(toy_data))
    folder = workdir / "eval" / "toy_target_test"
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(REPORT))
    return load(workdir)


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared") / "model"
    run.save_pretrained(folder)
    return folder


def test_the_folder_finds_the_same_moments_without_the_data(run, folder, monkeypatch):
    monkeypatch.setattr(predictor, "open_dataset", lambda *_: pytest.fail("the data were read"))
    again = load(folder)
    for query in ("a person opens the door", ["a box", "the red window"]):
        found = again.predict(CLIPS, query, duration=20)
        assert found == run.predict(CLIPS, query, duration=20)
    assert again.config == run.config


def test_its_card_says_what_it_is_and_what_it_reaches(folder):
    card = (folder / "README.md").read_text()
    assert card.startswith("---\nlibrary_name: vmr_jax\n")
    assert "- Trained on `toy_target` with features `features`.\n" in card
    assert "- Step 3, chosen by last epoch.\n" in card
    assert "## toy_target, test, 10 queries\n" in card
    assert "| percent | model | random |\n| --- | ---: | ---: |\n" in card
    assert "| R@1,IoU=0.5 | 12.50 | 5.00 |\n" in card


def test_text_systems_take_their_tokenizer_with_them(tmp_path, toy_data):
    config = small_mmn(toy_data)
    config.text.tokenizer = str(tmp_path / "words")  # the small encoder reads none
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "vocab.txt").write_text("[PAD]\n")
    (tmp_path / "words" / "model.safetensors").write_text("large")
    workdir = tmp_path / "mmn"
    run = load(save_random_run(workdir, config))
    run.save_pretrained(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.config.text.tokenizer == str(tmp_path / "model" / "tokenizer" / "files")
    files = tmp_path / "model" / "tokenizer" / "files"
    assert [path.name for path in files.iterdir()] == ["vocab.txt"]
    sentence = "a person opens the door"
    assert again.predict(CLIPS, sentence, duration=20) == run.predict(CLIPS, sentence, duration=20)


def test_what_is_there_is_not_overwritten_and_damage_is_told(run, folder, tmp_path):
    with pytest.raises(FileExistsError, match="is not empty: give another folder"):
        run.save_pretrained(folder)
    copy = tmp_path / "model"
    run.save_pretrained(copy)
    content = bytearray((copy / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (copy / "model.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match=r"model.safetensors is damaged: fetch or save"):
        load(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="no file of the model at"):
        load(copy)


def test_a_repository_is_fetched_by_its_name(run, folder, monkeypatch):
    asked = []

    def snapshot_download(repository, revision):
        asked.append((repository, revision))
        if repository == "owner/none":
            raise OSError("offline")
        return str(folder)

    hub = types.SimpleNamespace(snapshot_download=snapshot_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    assert load("hf://owner/name@v1").config == run.config
    assert asked == [("owner/name", "v1")]
    with pytest.raises(ConnectionError) as raised:
        load("hf://owner/none")
    assert str(raised.value) == (
        "hf://owner/none cannot be fetched (offline); without a network, give the folder"
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"hf://owner/name needs huggingface_hub: pip install"):
        load("hf://owner/name")
