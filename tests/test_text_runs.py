"""Runs of a system that reads token ids: both data paths, resuming, evaluating a checkpoint."""

import io
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict
from rich.console import Console

from vmr_jax import models
from vmr_jax.configs import common
from vmr_jax.data.text.tokens import vocabulary_size
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation import evaluate
from vmr_jax.evaluation.restore import restore_run
from vmr_jax.models import Description
from vmr_jax.simulation import grammar_events
from vmr_jax.training import loop as train
from vmr_jax.types import Losses, Moments, MomentSystem

CONSOLE = Console(quiet=True)


def get_config(data_dir, **changes) -> ConfigDict:
    config = common.run()
    config.system = "words"
    config.target = common.domain_block("toy_target", labels=True)
    config.text = ConfigDict({"encoder": "clip", "size": "small", "weights": "", "tokenizer": ""})
    settings = {
        "data_dir": str(data_dir),
        "epochs": 2,
        "batch_size": 8,
        "eval.batch_size": 8,
        "data.threads": 2,
        "data.prefetch": 2,
        "target.max_clips": 12,
        "target.max_words": 7,
    }
    config.update_from_flattened_dict(settings | changes)
    return config.lock()


def make(config, specs) -> MomentSystem:
    """Start and end of a moment as shares of the video, from the mean of its words' rows."""
    size = vocabulary_size(config.text)

    def init(key, batch):
        return {"rows": 0.1 * jax.random.normal(key, (size, 2))}

    def shares(params, batch):
        rows = params["rows"][batch.tokens] * batch.token_mask[..., None]
        return jax.nn.sigmoid(rows.sum(1) / batch.token_mask.sum(1, keepdims=True))

    def loss(params, batch, key, progress):
        seconds = shares(params, batch) * batch.duration[batch.owner][:, None]
        gap = jnp.square(seconds - batch.moment).sum(1)
        if batch.patches is not None:  # everything that only training reads
            rows = params["rows"][batch.dynamic_tokens] * batch.dynamic_mask[..., None]
            moved = (batch.patches * batch.patch_cls[:, :, None]).mean((1, 2, 3))[batch.owner]
            gap += batch.dynamic_ok * jnp.square(rows.sum((1, 2)) - moved)
            gap += batch.static_ok * batch.static_mask.sum(1)
        return Losses({"gap": ((gap * batch.query_weight).sum(), batch.query_weight.sum())}, {})

    def predict(params, batch):
        seconds = shares(params, batch) * batch.duration[batch.owner][:, None]
        start, end = seconds.min(1, keepdims=True), seconds.max(1, keepdims=True)
        return Moments(start, end, jnp.ones_like(start))

    return MomentSystem(init, loss, predict)


@pytest.fixture(autouse=True)
def words(monkeypatch):
    """Makes the system known under its name."""
    described = Description(
        name="words",
        paper="none",
        supervision="boundaries",
        kind="moments",
        batch="videos",
        build=make,
        domains=lambda config: ("target",),
    )
    monkeypatch.setattr(models, "describe", lambda name: described)


def losses_of(workdir):
    lines = (workdir / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line).get("train/loss") for line in lines]


def test_both_paths_train_alike_and_the_checkpoint_is_evaluated(toy_data, tmp_path):
    console = Console(file=io.StringIO(), width=200)
    report = train.train(get_config(toy_data), tmp_path / "device", "", console)
    said = console.file.getvalue()
    assert "words are not in the text encoder's vocabulary: they are read as unknown" in said
    assert "queries are longer than max_words=7: their last words are left out" in said
    streamed = get_config(toy_data, **{"data.residency": "host"})
    again = train.train(streamed, tmp_path / "host", "", CONSOLE)
    np.testing.assert_allclose(
        losses_of(tmp_path / "device"), losses_of(tmp_path / "host"), rtol=1e-6
    )
    assert again["model"] == report["model"]
    alone = evaluate.evaluate_checkpoint(None, str(tmp_path / "device"), "", CONSOLE)
    given = evaluate.evaluate_checkpoint(
        get_config(toy_data), str(tmp_path / "device"), "", CONSOLE
    )
    assert alone["model"] == given["model"] == report["model"]


def test_what_only_training_reads_is_the_same_on_both_paths(tmp_path, monkeypatch):
    name = "simulated_target"
    small = grammar_events.WORLDS[name]._replace(videos={"train": 20, "val": 1, "test": 8})
    monkeypatch.setitem(grammar_events.WORLDS, name, small)
    losses = {}
    for residency in ("device", "host"):
        config = get_config(tmp_path, **{"data.residency": residency}).copy_and_resolve_references()
        with config.unlocked():
            config.target = common.domain_block(name, labels=True)
            config.target.update({"patches": "simulated_patches", "patch_frames": 4})
            config.text.query_mask_mode = "drop"
        report = train.train(config, tmp_path / residency, "", CONSOLE)
        losses[residency] = losses_of(tmp_path / residency)
    np.testing.assert_allclose(losses["device"], losses["host"], rtol=1e-6)
    shutil.rmtree(tmp_path / name / "videos-simulated_patches")
    shutil.rmtree(tmp_path / name / "chunks")
    alone = evaluate.evaluate_checkpoint(None, str(tmp_path / "host"), "", CONSOLE)
    assert alone["model"] == report["model"]  # prediction needs neither


def test_a_part_of_the_queries_is_evaluated(tmp_path, monkeypatch):
    name = "simulated_target"
    small = grammar_events.WORLDS[name]._replace(videos={"train": 20, "val": 1, "test": 8})
    monkeypatch.setitem(grammar_events.WORLDS, name, small)
    config = get_config(tmp_path).copy_and_resolve_references()
    with config.unlocked():
        config.target = common.domain_block(name, labels=True)
        config.eval.query = "full"
    train.train(config, tmp_path / "run", "", CONSOLE)
    for part in ("static", "dynamic"):
        config.eval.query = part
        report = evaluate.evaluate_checkpoint(config, str(tmp_path / "run"), "", CONSOLE)
        given = evaluate.evaluate_checkpoint(None, str(tmp_path / "run"), "", CONSOLE, part)
        assert given["model"] == report["model"] and given["query"] == part
        folder = tmp_path / "run" / "eval" / f"{name}_test_{part}"
        assert report["query"] == part == json.loads((folder / "metrics.json").read_text())["query"]
        lines = (folder / "predictions.jsonl").read_text().splitlines()
        asked = [set(json.loads(line)["query"].split()) for line in lines]
        assert len(asked) == report["queries"]
        assert all(("the" in words) == (part == "static") for words in asked)
    config.eval.query = "verbs"
    with pytest.raises(ValueError, match=r"eval.query is 'verbs'; it must be one of \('full', 'st"):
        evaluate.evaluate_checkpoint(config, str(tmp_path / "run"), "", CONSOLE)
    with config.unlocked():
        config.eval.query = "static"
        del config.text
    with pytest.raises(ValueError, match="'static', but words reads prepared word vectors"):
        evaluation_dataset(config)


def test_the_config_says_where_the_tokeniser_is_now(toy_data, tmp_path):
    train.train(get_config(toy_data), tmp_path / "run", "", CONSOLE)
    moved = get_config(toy_data, **{"text.tokenizer": "elsewhere"})
    restored = restore_run(moved, tmp_path / "run" / "checkpoints").config
    assert restored.text.tokenizer == "elsewhere" and restored.text.size == "small"
