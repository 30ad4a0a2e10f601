"""The linear match on prepared data: against plain loops, what it may see, and its cache."""

import numpy as np
import pytest

from tests.conftest import small_vlanet, write_toy
from vmr_jax.configs import prem_localizer
from vmr_jax.data.batches.splits import evaluation_corpus, evaluation_domain
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation import linear_match
from vmr_jax.evaluation.linear_match import match_corpus, match_moments
from vmr_jax.metrics.linear_match import SHARES, fit_scale
from vmr_jax.metrics.retrieval import corpus_metrics

PENALTY = 0.1


@pytest.fixture
def data_dir(tmp_path):
    for name in ("toy_source", "toy_target"):
        write_toy(tmp_path, name)
    return tmp_path


@pytest.fixture
def config(data_dir, monkeypatch):
    """VLANet, which sees pairs; all clips of the toy videos, and one penalty."""
    monkeypatch.setattr("vmr_jax.metrics.linear_match.PENALTIES", (PENALTY,))
    config = small_vlanet(data_dir)
    config.target.max_clips = 16
    return config


def domain_of(config):
    return evaluation_domain(config, evaluation_dataset(config), "test")


def plain(config):
    """The scores of all windows of every test query, and the windows in seconds, by loops."""
    dataset = evaluation_dataset(config)
    train, test = dataset.splits["train"], dataset.splits["test"]
    clips_of = lambda row: dataset.videos.features(row).astype(np.float64)  # noqa: E731
    words_of = lambda t, q: dataset.vectors[t.words[q, : min(t.num_words[q], 6)]].mean(0)  # noqa: E731
    every = np.concatenate([clips_of(row) for row in np.unique(train.video)])
    scaled = lambda clips: (clips - every.mean(0)) / every.std(0)  # noqa: E731
    clips = np.stack([scaled(clips_of(row)).mean(0) for row in train.video])
    queries = np.stack([words_of(train, query) for query in range(len(clips))])
    scale = fit_scale(queries)
    gram = clips.T @ clips + PENALTY * len(clips) * np.eye(clips.shape[1])
    weights = np.linalg.solve(gram, clips.T @ scale(queries))
    for query, row in enumerate(test.video):
        rows, asked = scaled(clips_of(row)) @ weights, scale(words_of(test, query))
        lengths = sorted({max(round(share * len(rows)), 1) for share in SHARES})
        spans = [(a, a + n) for n in lengths for a in range(len(rows) - n + 1)]
        means = [rows[a:b].mean(0) for a, b in spans]
        cosines = [m @ asked / np.linalg.norm(m) / np.linalg.norm(asked) for m in means]
        yield np.array(cosines), np.array(spans) * dataset.videos.duration[row] / len(rows)


def test_what_a_system_samples_of_the_clips_changes_nothing(config):
    native = match_moments(config, domain_of(config))
    config.target.max_clips, config.target.clip_sampling = 5, "rounded_bins"
    for one, other in zip(native, match_moments(config, domain_of(config)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_pairs_alone_are_matched_as_by_loops(config):
    found = match_moments(config, domain_of(config))
    assert len(found) == 10
    for rows, (cosines, seconds) in zip(found, plain(config), strict=True):
        best = int(cosines.argmax())
        np.testing.assert_allclose(rows[0], [*seconds[best], cosines[best]], atol=1e-5)
        assert (np.diff(rows[:, 2]) <= 0).all()


def test_boundaries_are_seen_only_where_labels_are_on(config, monkeypatch):
    domain, seen = domain_of(config), {}
    monkeypatch.setattr(linear_match, "fit", lambda scale, clips, queries: clips)
    for labels in (False, True):
        config.target.labels = labels
        clips, seconds = linear_match._fit(config, domain, {"target": domain.dataset})
        seen[labels] = len(np.unique(clips.round(9), axis=0))
        assert bool(len(seconds)) == labels
    videos = np.unique(domain.dataset.splits["train"].video)
    assert seen[False] == len(videos) < seen[True]


def test_what_was_found_is_kept_and_a_damaged_file_is_made_again(config, data_dir, monkeypatch):
    first = match_moments(config, domain_of(config))
    (kept,) = (data_dir / "toy_target" / "linear_match").iterdir()
    with monkeypatch.context() as patch:
        patch.setattr(linear_match, "_fit", None)  # it would be called
        for rows, again in zip(first, match_moments(config, domain_of(config)), strict=True):
            np.testing.assert_array_equal(rows, again)
    kept.write_bytes(kept.read_bytes()[:50])
    for rows, again in zip(first, match_moments(config, domain_of(config)), strict=True):
        np.testing.assert_array_equal(rows, again)
    write_toy(data_dir / "other", "toy_target", seed=1)
    config.data_dir = str(data_dir / "other")
    changed = match_moments(config, domain_of(config))
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(first, changed, strict=True))


def test_without_the_training_data_there_is_none(config, monkeypatch):
    domain = domain_of(config)
    config.target.train_split = "absent"
    assert match_moments(config, domain) is None
    config.target.train_split, config.target.dataset = "train", "gone"
    assert match_moments(config, domain) is None


def test_a_corpus_is_ranked_by_each_videos_best_window(data_dir):
    config = prem_localizer.get_config("toy_target")
    config.data_dir, config.target.max_clips, config.target.max_words = str(data_dir), 12, 6
    corpus = evaluation_corpus(config, evaluation_dataset(config), "test")
    tasks = match_corpus(config, corpus)
    best = {}
    for video, _, _, score in tasks["VCMR"][0]:
        if np.isfinite(score):
            best[int(video)] = max(best.get(int(video), -np.inf), score)
    order = [int(video) for video in tasks["VR"][0, :, 0] if video >= 0]
    assert order[:5] == sorted(best, key=best.__getitem__, reverse=True) and len(set(order)) == 5
    own = tasks["VCMR"][0][tasks["VCMR"][0, :, 0] == corpus.pairs.video[0]]
    np.testing.assert_allclose(tasks["SVMR"][0, 0], own[0], atol=1e-9)
    metrics = corpus_metrics(tasks, corpus.pairs.video, corpus.moments)
    assert metrics["VR/R@5"] == metrics["VR/R@100"] == 100
