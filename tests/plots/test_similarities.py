"""The similarities of pairs over a run: as logged, and of a split at each checkpoint."""

import shutil
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.configs import mmcda
from vmr_jax.data.batches.data_paths import read_batch
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.plots import queries, similarities
from vmr_jax.training.checkpoint import Checkpoints


@pytest.fixture
def broken(workdir, tmp_path):
    """A copy of the run, to be damaged."""
    return shutil.copytree(workdir, tmp_path / "broken")


def test_lines_of_evaluations_and_unfinished_lines_have_no_similarity(broken):
    with (broken / "metrics.jsonl").open("a") as file:
        file.write('{"step": 18, "val/mIoU": 3.0}\n{"step": 19, "tra')
    assert similarities.similarity_content(broken)["step"][-1] == 18


def test_refused_metrics(broken):
    path = broken / "metrics.jsonl"
    path.write_text('{"step": 1, "train/loss": 2}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl has no train/similarity_positive and "):
        similarities.similarity_content(broken)
    path.write_text('{"step": 1}\nnonsense\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl:2: not valid JSON"):
        similarities.similarity_content(broken)
    path.write_text('{"step": 1}\n{"step": [1]}\n')
    with pytest.raises(ValueError, match=r"metrics.jsonl:2: expected an object of numbers"):
        similarities.similarity_content(broken)
    path.write_text('{"step": 1}\n{"train/loss": 2}\n')
    with pytest.raises(ValueError, match=r'metrics.jsonl:2: no "step"'):
        similarities.similarity_content(broken)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="metrics.jsonl: no such file; .* run's workdir"):
        similarities.similarity_content(broken)
    with pytest.raises(FileNotFoundError, match="no checkpoint found there; give a run's"):
        similarities.similarity_content(broken / "checkpoints" / "none")


def test_a_split_has_one_value_a_kept_checkpoint(vlanet_workdir):
    shown = similarities.split_similarity_content(vlanet_workdir, "test")
    checkpoints = Checkpoints(vlanet_workdir / "checkpoints", read_only=True)
    assert shown["pairs"] == "test" and shown["step"] == sorted(checkpoints.steps())
    run = queries.open_split("attention", vlanet_workdir, "test")
    rows = np.arange(len(run.domain.table.query_id))
    batch = read_batch(run.domain, PairIndex(rows, np.ones(len(rows), np.float32)))
    batch = batch._replace(video=batch.video.astype(np.float32))
    loss, key = run.system.loss, jax.random.key(0)
    watched = jax.jit(lambda params, batch: loss(params, batch, key, None).watched)
    for step, positive, negative in zip(
        shown["step"], shown["positive"], shown["negative"], strict=True
    ):
        params = jax.tree.map(jnp.asarray, checkpoints.restore_params(step))
        found = watched(params, batch)
        total, count = found["similarity_positive"]
        assert count == len(rows)
        np.testing.assert_allclose(positive, total / count, rtol=1e-5)
        assert abs(negative) <= 1 and negative != positive
    checkpoints.close()


def test_a_split_of_two_domains_is_refused(vlanet_workdir, monkeypatch):
    two = mmcda.get_config("toy_source,toy_target")
    monkeypatch.setattr(similarities, "restore_run", lambda *_: SimpleNamespace(config=two))
    with pytest.raises(ValueError, match="this is mmcda on source, target. Leave --split out"):
        similarities.split_similarity_content(vlanet_workdir, "test")
