"""Hard negatives are ranked once a run, and again where they would be others."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.search.first_stage import FirstStage, RankedVideos
from vmr_jax.training import mining
from vmr_jax.training.mining import with_candidates, without_truth


class Domain(NamedTuple):
    """What mining reads of a training split: three queries about two of four videos."""

    dataset: SimpleNamespace
    pairs: SimpleNamespace = SimpleNamespace(video=np.array([0, 0, 2]))
    candidates: np.ndarray | None = None


@pytest.fixture
def ranked(monkeypatch):
    """A first stage in the place of a retriever; returns how many videos it was asked for."""
    asked = []

    def rank(split, corpus, top_k, mesh, console):
        asked.append((split, corpus, top_k))
        row = np.array([[1, 0, 3, 2], [3, 2, 1, 0], [2, 1, 0, 3]], np.int32)[:, :top_k]
        return RankedVideos(np.zeros(row.shape, np.float32), row)

    monkeypatch.setattr(mining, "first_stage", lambda c: FirstStage(rank, c.first.checkpoint))
    monkeypatch.setattr(mining, "evaluation_dataset", lambda c: "dataset")
    monkeypatch.setattr(mining, "evaluation_corpus", lambda c, dataset, split: "corpus")
    return asked


def settings(**changes):
    first = {"checkpoint": "one", "top": 2}
    target = {"train_split": "train"}
    config = ConfigDict({"first": first, "target": target, "select": "last", "seed": 0})
    config.update_from_flattened_dict({k.replace("__", "."): v for k, v in changes.items()})
    return config


def test_videos_are_ranked_once_and_stored(ranked, tmp_path):
    domain, workdir = Domain(SimpleNamespace(fingerprint="data")), tmp_path / "run"
    mine = lambda config, domain: with_candidates(config, domain, workdir, None, None)  # noqa: E731
    found = mine(settings(), domain).candidates
    assert found.tolist() == [[1, 3], [3, 2], [1, 0]] and found.dtype == np.int32
    np.testing.assert_array_equal(mine(settings(), domain).candidates, found)
    assert ranked == [("trained", "corpus", 3)]
    other = Domain(SimpleNamespace(fingerprint="other data"))
    for config, read in (
        (settings(first__checkpoint="two"), domain),
        (settings(first__checkpoint="two", first__top=1), domain),
        (settings(first__checkpoint="two", first__top=1, select="holdout"), domain),
        (settings(first__checkpoint="two", first__top=1, select="holdout", seed=1), domain),
        (settings(first__checkpoint="two", first__top=1, select="holdout", seed=1), other),
        (settings(first__checkpoint="two", first__top=1, target__train_split="more"), other),
        (settings(first__checkpoint="two", first__top=1), other),
    ):
        before = len(ranked)
        assert mine(config, read).candidates.shape == (3, config.first.top)
        assert len(ranked) == before + 1


def test_the_true_video_is_no_candidate():
    row = np.array([[4, 2, 7], [5, 6, 8], [1, 3, -1]])
    found = without_truth(row, np.array([2, 9, 0]))
    np.testing.assert_array_equal(found, [[4, 7], [5, 6], [1, 3]])
    assert found.dtype == np.int32
    few = without_truth(np.array([[3, 0, -1]]), np.array([3]))
    np.testing.assert_array_equal(few, [[0, -1]])
