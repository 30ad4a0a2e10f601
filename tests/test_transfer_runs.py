"""Runs on two domains whose source chooses the checkpoint: epochs, selection, hidden labels."""

import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from tests.conftest import small_mmcda, write_toy
from vmr_jax import models
from vmr_jax.data.batches.splits import selection_name, selection_split
from vmr_jax.datasets import training_dataset, training_domains, with_selection
from vmr_jax.evaluation import evaluate
from vmr_jax.training import loop as train
from vmr_jax.training.checkpoint import Checkpoints
from vmr_jax.training.input_pipeline import make_input_pipeline
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.run_summary import print_selection

CONSOLE = Console(quiet=True)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    """A source of 72 pairs, and a target of 48."""
    folder = tmp_path_factory.mktemp("transfer")
    write_toy(folder, "toy_source", videos=36)
    write_toy(folder, "toy_target")
    return folder


def _config(data_dir, **changes):
    config = small_mmcda(data_dir)
    config.epochs, config.source.select_split, config.select = 2, "val", "val"
    config.modules.da = config.modules.sa = False  # less to compile; ca still reads the target
    config.update_from_flattened_dict(changes)
    return config


@pytest.fixture(scope="module")
def finished(data_dir, tmp_path_factory):
    """A run that its source's validation split chose from, its report and what it said."""
    workdir, said = tmp_path_factory.mktemp("finished"), io.StringIO()
    report = train.train(_config(data_dir), workdir, "", Console(file=said, width=200))
    return workdir, report, said.getvalue()


def _lines(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def test_a_result_says_that_it_is_no_reproduction(finished):
    _, report, said = finished
    assert report["system"] == "MMCDA, derived from the abstract"
    assert report["system"] in said.rpartition("(selected by: toy_source/val)")[2]


def test_the_larger_domain_makes_an_epoch_and_the_other_cycles(data_dir, finished):
    assert max(line["step"] for line in _lines(finished[0])) == 2 * 72 // 8
    config = _config(data_dir)
    domains = training_domains(config, ("source", "target"))
    for roles, expected in ((("source", "target"), 9), (("target", "source"), 9)):
        some = {role: domains[role] for role in roles}
        feed = make_input_pipeline(config, "pairs", some, make_mesh(), CONSOLE, "largest")
        assert feed.pace.steps_per_epoch == expected
    feed = make_input_pipeline(config, "pairs", domains, make_mesh(), CONSOLE)
    assert feed.pace.steps_per_epoch == 48 // 8


def test_the_sources_validation_split_chooses(data_dir, finished):
    workdir, report, _ = finished
    assert (report["dataset"], report["split"]) == ("toy_target", "test")
    assert report["checkpoint"]["selected_by"] == "toy_source/val"
    scores = {x["step"]: x for x in _lines(workdir) if "val/R@1,IoU=0.5" in x}
    best = max(scores, key=lambda step: (scores[step]["val/R@1,IoU=0.5"], step))
    chosen = report["checkpoint"]["step"]
    assert scores[chosen]["val/R@1,IoU=0.5"] == scores[best]["val/R@1,IoU=0.5"]
    config = _config(data_dir)
    config.target.update(config.source.to_dict() | {"eval_split": "val"})
    on_source = evaluate.evaluate_checkpoint(config, "", str(workdir), CONSOLE)
    assert on_source["dataset"] == "toy_source"
    for name, value in on_source["model"].items():
        assert value == pytest.approx(scores[chosen][f"val/{name}"])


def test_a_tenth_of_the_sources_videos_can_choose(data_dir):
    config = _config(data_dir, select="holdout")
    whole, held = (
        training_domains(config, ("source", "target"), chooser) for chooser in ("none", "source")
    )
    assert len(held["source"].video_row) == len(whole["source"].video_row) - 4
    assert len(held["target"].video_row) == len(whole["target"].video_row)
    feed = make_input_pipeline(config, "pairs", held, make_mesh(), CONSOLE, "largest")
    assert feed.pace.steps_per_epoch == 64 // 8
    assert selection_split(config, "source") == "holdout"
    assert selection_name(config, "source", "holdout") == "toy_source/holdout"


def test_hidden_labels_of_the_target_change_no_bit(data_dir, finished, tmp_path):
    workdir, report, _ = finished
    again = train.train(_config(data_dir, **{"target.labels": True}), tmp_path, "", CONSOLE)
    assert (again["model"], again["checkpoint"]) == (report["model"], report["checkpoint"])
    one, other = (
        Checkpoints(folder / "checkpoints", read_only=True).restore_params(18)
        for folder in (workdir, tmp_path)
    )
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_the_upper_bound_is_chosen_by_the_target(data_dir, tmp_path):
    settings = {"supervision": "target", "target.labels": True, "target.select_split": "val"}
    config = _config(data_dir, **settings, epochs=1)
    report = train.train(config, tmp_path, "", CONSOLE)
    assert report["checkpoint"] == {"step": 6, "selected_by": "val"}
    unlabelled = _config(data_dir)
    assert evaluate.evaluate_checkpoint(unlabelled, "", str(tmp_path), CONSOLE) == report
    assert not unlabelled.target.labels
    config.source.select_split = "test"
    assert selection_split(config, models.of(config).chooser(config)) == "val"


def test_a_validation_split_of_the_data_chooses_where_there_is_one(data_dir, tmp_path):
    config = _config(data_dir, **{"source.select_split": "", "select": "val_or_holdout"})
    found = with_selection(config, "source")
    assert (found.select, found.source.select_split) == ("val", "val")
    assert (config.select, config.source.select_split) == ("val_or_holdout", "")
    config.source.train_split = "val"
    found = with_selection(config, "source")
    assert (found.select, found.source.select_split) == ("holdout", "")
    write_toy(tmp_path, "toy_source", labels=False)
    config = _config(tmp_path, **{"source.select_split": "", "select": "val"})
    assert with_selection(config, "source").source.select_split == ""
    config = _config("nowhere", select="val_or_holdout")  # no data are read
    assert with_selection(config, "source").select == "val"


@pytest.mark.parametrize(
    ("split", "kept"), [("val", ""), ("holdout", " of training videos, which")]
)
def test_what_chooses_is_said_with_its_size(data_dir, split, kept):
    config, said = _config(data_dir, select=split), io.StringIO()
    dataset = training_dataset(config, "source")
    print_selection(config, "source", dataset, split, Console(file=said, width=200))
    expected = f"the checkpoint is chosen by R@1,IoU=0.5 on toy_source / {split}: 8 queries"
    assert said.getvalue().startswith(f"{expected}{kept}")


def test_a_split_that_is_no_validation_split_is_refused(data_dir):
    config = _config(data_dir, **{"source.select_split": "test"})
    with pytest.raises(ValueError, match="source.select_split is 'test', train_split 'train'"):
        selection_split(config, "source")
    config.source.select_split = ""
    with pytest.raises(ValueError, match="toy_source has no validation split that is neither"):
        selection_split(config, "source")
    same = _config(data_dir, **{"source.dataset": "toy_target", "target.eval_split": "val"})
    with pytest.raises(ValueError, match="neither trained on nor reported may choose"):
        selection_split(same, "source")
    same.source.dataset = "toy_source"
    assert selection_split(same, "source") == "val"
    assert selection_name(same, "source", "val") == "toy_source/val"
    assert selection_name(same, "target", "val") == "val"
    assert selection_name(same, "source", "") == "last epoch"


def test_didemos_metric_is_asked_of_the_target_alone(data_dir, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "vmr_jax.evaluation.moments.score_split",
        lambda predict, params, domain, config, *rest: (
            seen.append((domain.dataset.name, config.metric.didemo)) or ([], {"mIoU": 0.0})
        ),
    )
    monkeypatch.setattr("vmr_jax.evaluation.moments._check_didemo", lambda domain, config: None)
    config = _config(data_dir, **{"metric.didemo": "official", "eval.top_k": 21, "eval.nms": 1.0})
    trained = training_domains(config, ("target",))["target"].spec._asdict()
    made = evaluate.make_evaluation(config, trained, "val", make_mesh(), CONSOLE)
    made.select({})
    assert seen == [("toy_source", "")]
