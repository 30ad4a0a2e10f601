"""PREM's two runs from training to the report, and what a search of a split's corpus finds."""

import io
import json
import shutil

import jax
import numpy as np
import pytest
from rich.console import Console

from tests.conftest import small_settings
from vmr_jax import models
from vmr_jax.configs import prem_localizer, prem_retriever
from vmr_jax.data.batches.splits import evaluation_corpus
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.datasets import evaluation_dataset, training_domains
from vmr_jax.evaluation.evaluate import evaluate_checkpoint
from vmr_jax.evaluation.predictions import read_predictions
from vmr_jax.evaluation.restore import restore_run
from vmr_jax.evaluation.score import score_files
from vmr_jax.training import loop as train
from vmr_jax.types import Queries, Videos

pytestmark = pytest.mark.usefixtures("quick_random_numbers")
CONSOLE = Console(quiet=True)
VR = ["VR/R@1", "VR/R@5", "VR/R@10", "VR/R@100", "VR/SumR"]


def small(get_config, data_dir, **changes):
    """A small system of PREM on toy_target; on its own `changes` wins."""
    config = get_config("toy_target")
    of_target = ("target.windows", "target.stride")
    settings = {k: v for k, v in small_settings(data_dir).items() if not k.startswith("source.")}
    settings = {k: v for k, v in settings.items() if k not in of_target}
    sizes = {"heads": 2, "epochs": 1, "checkpoint_every": 1, "modalities": ("image", "sub")}
    config.update_from_flattened_dict(
        settings | sizes | {"target.subtitles": "subtitles"} | changes
    )
    return config


def small_localizer(data_dir, **changes):
    """A small localizer; it and its retriever, of two epochs, are chosen by the split val."""
    changes = {"select": "val", "target.select_split": "val"} | changes
    sizes = {"negatives": 2, "first.top": 6, "first.retrieve": 3, "infer.max_l": 5}
    changes = sizes | {"lc.enabled": False} | changes  # less to compile; no search reads it
    config = small(prem_localizer.get_config, data_dir, **changes)
    config.first.retriever.update(small(prem_retriever.get_config, data_dir, epochs=2).to_dict())
    return config


@pytest.fixture(scope="module")
def localizer(toy_data, tmp_path_factory):
    """A trained localizer with its retriever: its config, workdir, report and what it said."""
    config, workdir = small_localizer(toy_data), tmp_path_factory.mktemp("prem")
    said = io.StringIO()
    report = train.train(config, workdir, "", Console(file=said, width=200))
    return config, workdir, report, said.getvalue()


def test_both_runs_from_one_command(localizer, toy_data, tmp_path):
    config, workdir, report, said = localizer
    assert f"training prem_retriever in {workdir / 'first_run'}" in said
    assert said.count("but clip_seconds is 1.5, so that moments come to lie on other clips") == 2
    assert said.count("videos are longer than max_clips=12: their last clips are left out") == 2
    assert report["queries"] == 10 and report["videos"] == 5
    assert [name for name in report["model"] if name.startswith("VR")] == VR
    assert {name.split("/")[0] for name in report["model"]} == {"VR", "SVMR", "VCMR"}
    assert set(report["model"]) == set(report["random"]) == set(report["location_prior"])
    assert report["random"]["VR/R@1"] == pytest.approx(100 / 5)
    of_first = json.loads(
        (workdir / "first_run" / "eval" / "toy_target_test" / "metrics.json").read_text()
    )
    assert {name: report["model"][name] for name in VR} == of_first["model"]

    found = np.load(workdir / "candidates.npz")["candidates"]
    assert found.shape == (48, 6) and found.min() >= 0 and found.max() < 24
    truth = training_domains(config, ("target",))["target"].pairs.video
    assert not (found == truth[:, None]).any() and all(len(set(row)) == 6 for row in found)

    moved = tmp_path / "moved"
    shutil.copytree(workdir, moved)
    assert evaluate_checkpoint(None, "", str(moved), CONSOLE) == report
    said = io.StringIO()
    assert train.train(config, moved, "", Console(file=said, width=200)) == report
    assert "prem_retriever is trained" in said.getvalue()


def test_submission_and_predictions_score_as_the_report(localizer, tmp_path):
    _, workdir, report, _ = localizer
    folder = workdir / "eval" / "toy_target_test"
    labels = tmp_path / "test.jsonl"
    dataset = evaluation_dataset(localizer[0])
    table, videos = dataset.splits["test"], dataset.videos
    with labels.open("w") as file:
        for row, query in enumerate(table.query_id):
            video = table.video[row]
            line = {"qid": query, "query": table.sentence[row], "vid": videos.video_id[video]}
            line |= {"duration": float(videos.duration[video])}
            line |= {"relevant_windows": table.moments[row].tolist()}
            file.write(json.dumps(line) + "\n")
    again = score_files(folder / "submission.json", labels).values
    assert again["model"] == pytest.approx(report["model"])
    assert len(read_predictions(folder / "predictions.jsonl")) == 10


def test_the_search_is_that_of_the_equations(localizer):
    """Eq. 6 and 12 by loops, video by video without padding, for the first query of the split."""
    config, workdir, _, _ = localizer
    read = {}
    for name, folder in (("retriever", workdir / "first_run"), ("localizer", workdir)):
        run = restore_run(None, folder / "checkpoints")
        corpus = evaluation_corpus(run.config, evaluation_dataset(run.config), "test")
        read[name] = run, corpus, models.make(run.config, {"target": corpus.spec})
    run, corpus, system = read["retriever"]
    words = corpus.pairs.num_words[0]
    query = Queries(corpus.pairs.vectors[corpus.pairs.words[:1, :words]], np.ones((1, words), bool))
    videos = []
    for row in range(5):
        shown = corpus.features(row).astype(np.float32), corpus.subtitles(row).astype(np.float32)
        videos.append(Videos(shown[0][None], np.ones((1, len(shown[0])), bool), shown[1][None]))
    q = np.asarray(jax.jit(system.encode_queries)(run.params, query)[0])
    encode = jax.jit(system.encode_videos)
    score = [np.mean((np.asarray(encode(run.params, v)[0]) * q).sum(-1).max(0)) for v in videos]
    best = np.argsort(-np.array(score), kind="stable")[:3]
    run, corpus, system = read["localizer"]

    @jax.jit
    def locate(params, video):
        code = system.encode_videos(params, video)
        code, mask = jax.tree.map(lambda leaf: leaf[None], (code, video.video_mask))
        return *system.locate(params, system.encode_queries(params, query), code, mask), mask

    spans = []
    for row in best:
        start, end, mask = map(np.asarray, locate(run.params, videos[row]))
        clips = mask.shape[-1]
        for i in range(clips):
            for j in range(i, min(i + 6, clips)):
                total = score[row] / 0.01 + start[0, 0, i] + end[0, 0, j]
                stop = min(1.5 * (j + 1), corpus.pairs.duration[row])
                spans.append((float(total), int(row), 1.5 * i, float(stop)))
    spans.sort(reverse=True)
    submission = json.loads((workdir / "eval" / "toy_target_test" / "submission.json").read_text())
    listed = submission["VCMR"][0]["predictions"]
    place = {index: name for name, index in submission["video2idx"].items()}
    ids = [corpus.dataset.videos.video_id[row] for row in corpus.video_row]
    for (total, row, start, end), found in zip(spans[:20], listed, strict=False):
        assert place[found[0]] == ids[row]
        np.testing.assert_allclose(found[1:], [start, end, total], rtol=1e-4, atol=1e-3)


@pytest.mark.slow  # test_multiprocess.py trains after a retriever that is there
def test_a_retriever_that_is_there(localizer, toy_data, tmp_path):
    _, workdir, report, _ = localizer
    config = small_localizer(toy_data, **{"first.checkpoint": str(workdir / "first_run")})
    assert train.train(config, tmp_path, "", CONSOLE)["model"] == report["model"]


def test_a_ranking_from_a_file(localizer, toy_data, tmp_path):
    config, workdir, report, _ = localizer
    submission = json.loads((workdir / "eval" / "toy_target_test" / "submission.json").read_text())
    dataset = evaluation_dataset(config)
    ids = dataset.videos.video_id
    index = {video: row for row, video in enumerate(ids)}
    place = {row: video for video, row in submission["video2idx"].items()}
    ranked = [
        entry | {"predictions": [[index[place[row]], *rest] for row, *rest in entry["predictions"]]}
        for entry in submission["VR"]
    ]
    train_split = dataset.splits["train"]
    for query, video in zip(train_split.query_id, train_split.video, strict=True):
        others = [[int(row), 0, 0, -float(row)] for row in range(len(ids)) if row != video]
        ranked.append({"desc_id": query, "desc": "", "predictions": others})
    path = tmp_path / "scores.json"
    path.write_text(json.dumps({"video2idx": index, "VR": ranked}))
    settings = {"first.scores_file": str(path), "select": "last"}  # it ranks no videos for val
    config = small_localizer(toy_data, **settings)
    external = train.train(config, tmp_path / "external", "", CONSOLE)
    assert {n: external["model"][n] for n in VR} == {n: report["model"][n] for n in VR}

    ranked.pop()
    path.write_text(json.dumps({"video2idx": index, "VR": ranked}))
    with pytest.raises(ValueError, match=r"ranks no videos for 1 of 48 queries of trained, e.g. t"):
        train.train(config, tmp_path / "missing", "", CONSOLE)
    path.write_text(json.dumps({"video2idx": index, "SVMR": []}))
    with pytest.raises(ValueError, match="it has no task VR"):
        train.train(config, tmp_path / "none", "", CONSOLE)


def test_a_retriever_that_is_not_there(toy_data, tmp_path):
    config = small_localizer(toy_data, **{"first.checkpoint": str(tmp_path / "elsewhere")})
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        train.train(config, tmp_path / "run", "", CONSOLE)


def write_public(data_dir):
    """Prepare a dataset whose test_public hides videos and moments; it searches p0, p1, p2."""
    rng = np.random.default_rng(0)
    words, known = ["a", "person", "opens", "the", "box"], np.array([[1.0, 4.0]])
    splits = {
        "train": [MomentRecord("t0", "t0", "a person opens the box", known)],
        "test_public": [MomentRecord(f"{q}", "", "the box", known[:0]) for q in (11, 12)],
    }
    durations = dict.fromkeys(("t0", "p0", "p1", "p2"), 12.0)
    annotations = Annotations("toy_public", splits, durations, [], {})
    vectors = {word: rng.normal(size=6).astype(np.float32) for word in words}
    for name, width in (("features", 8), ("subtitles", 5)):
        rows = {video: rng.normal(size=(8, width)).astype(np.float32) for video in durations}
        of_words = vectors if name == "features" else None
        write_dataset(data_dir, annotations, from_arrays(rows), name, of_words)


def test_hidden_labels_give_a_submission_and_no_metrics(localizer, tmp_path):
    workdir = localizer[1]
    write_public(tmp_path)
    changes = {"target.dataset": "toy_public", "target.eval_split": "test_public", "select": "last"}
    config = small_localizer(tmp_path, **changes)
    said = io.StringIO()
    out = tmp_path / "out"
    report = evaluate_checkpoint(config, str(out), str(workdir), Console(file=said, width=200))
    assert (report["queries"], report["videos"]) == (2, 3)
    assert not {"model", "random", "location_prior"} & set(report)
    assert "no metrics, only the submission" in said.getvalue()
    folder = out / "eval" / "toy_public_test_public"
    assert json.loads((folder / "metrics.json").read_text()) == report
    assert not (folder / "predictions.jsonl").exists()
    submission = json.loads((folder / "submission.json").read_text())
    assert submission["video2idx"] == {"p0": 0, "p1": 1, "p2": 2}
    assert set(submission) == {"video2idx", "VR", "VCMR"}
    for entry, query in zip(submission["VR"], (11, 12), strict=True):
        assert entry["desc_id"] == query
        assert sorted(row[0] for row in entry["predictions"]) == [0, 1, 2]


def test_selection_by_recalls(localizer):
    _, workdir, report, _ = localizer
    assert report["checkpoint"]["selected_by"] == "val"
    for folder, name, epochs in (("first_run", "VR/SumR", 2), ("", "VCMR/R@1,IoU=0.7", 1)):
        lines = (workdir / folder / "metrics.jsonl").read_text().splitlines()
        assert sum(f"val/{name}" in json.loads(line) for line in lines) == epochs
