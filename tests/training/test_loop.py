import io
import json
import subprocess

import jax
import numpy as np
import pytest
from rich.console import Console

from tests.conftest import fill, small_settings, small_vlanet, write_toy
from vmr_jax.configs import eva
from vmr_jax.data.batches.normalization import standardizing
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.evaluation import evaluate
from vmr_jax.evaluation.moments import reported_domain
from vmr_jax.evaluation.predictions import read_predictions
from vmr_jax.output_files import FullDiskError
from vmr_jax.training import logs, run, steps
from vmr_jax.training import loop as train
from vmr_jax.training.checkpoint import Checkpoints
from vmr_jax.training.mesh import make_mesh
from vmr_jax.types import INPUTS

pytestmark = pytest.mark.usefixtures("quick_random_numbers")
CONSOLE = Console(quiet=True)
LABELLED = {"target.labels": True}  # so that a part of the training videos may choose


def params_of(workdir):
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    return checkpoints.restore_params(checkpoints.steps()[-1])


def lines_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def assert_same(left, right):
    jax.tree.map(np.testing.assert_array_equal, left, right)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, toy_data):
    """A run on the device-resident path, to its end."""
    workdir = tmp_path_factory.mktemp("finished")
    config = _config(toy_data)
    report = train.train(config, workdir, "", CONSOLE)
    return workdir, report


def _config(toy_data, **changes):
    config = eva.get_config("toy_source,toy_target")
    settings = {f"{role}.normalize": "standardize" for role in ("source", "target")}
    settings |= {"losses.align": False, "losses.domain": False}  # less to compile
    config.update_from_flattened_dict(small_settings(toy_data) | settings | changes)
    return config


def _quick_config(toy_data, **changes):
    """For what is the loop's and not a system's: the system that compiles fastest."""
    config = small_vlanet(toy_data)
    config.update_from_flattened_dict(changes)
    return config


def test_a_run_writes_what_the_contract_says(finished):
    workdir, report = finished
    assert json.loads((workdir / "config.json").read_text())["config"]["system"] == "eva"
    steps = [line["step"] for line in lines_of(workdir)]
    assert steps == [3, 6, 9, 12, 15, 18]
    first = lines_of(workdir)[0]
    terms = {"weak", "full_match", "boundary"}
    watched = {"similarity_positive", "similarity_negative", "loss", "grad_norm"}
    assert {f"train/{name}" for name in terms | watched} == set(first) - {"step"}
    assert 0 < first["train/similarity_positive"] < 1
    np.testing.assert_allclose(
        first["train/loss"], sum(first[f"train/{name}"] for name in terms), rtol=1e-5
    )
    assert list((workdir / "tensorboard").iterdir())
    folder = workdir / "eval" / "toy_target_test"
    assert json.loads((folder / "metrics.json").read_text()) == report
    assert report["checkpoint"] == {"step": 18, "selected_by": "last epoch"}
    assert report["queries"] == 10
    assert set(report["model"]) == set(report["random"]) == set(report["location_prior"])
    predictions = [json.loads(x) for x in (folder / "predictions.jsonl").read_text().splitlines()]
    assert len(predictions) == 10
    best = predictions[0]["pred_relevant_windows"]
    assert set(predictions[0]) == {"qid", "query", "vid", "pred_relevant_windows"}
    assert all(0 <= s < e and a >= b for (s, e, a), (_, _, b) in zip(best, best[1:], strict=False))


def test_the_same_command_after_the_end_only_evaluates(finished, toy_data):
    workdir, report = finished
    before = lines_of(workdir)
    assert train.train(_config(toy_data), workdir, "", CONSOLE) == report
    assert lines_of(workdir) == before


def statistics_of(data_dir, name):
    """What standardises a dataset's features."""
    return standardizing(load_dataset(data_dir, name, "features"), "standardize")


def test_a_checkpoint_keeps_the_statistics_of_its_training_data(finished, toy_data):
    wanted = {role: statistics_of(toy_data, f"toy_{role}") for role in ("source", "target")}
    assert_same(params_of(finished[0])[INPUTS], wanted)


def test_both_data_paths_train_alike(finished, toy_data, tmp_path):
    train.train(_config(toy_data, **{"data.residency": "host"}), tmp_path, "", CONSOLE)
    for streamed, resident in zip(lines_of(tmp_path), lines_of(finished[0]), strict=True):
        for name, value in resident.items():
            np.testing.assert_allclose(streamed[name], value, rtol=2e-4, err_msg=name)


def test_evaluation_needs_only_checkpoints_and_data(finished, tmp_path):
    workdir, report = finished
    again = evaluate.evaluate_checkpoint(None, str(tmp_path), str(workdir / "checkpoints"), CONSOLE)
    assert again == report
    name = "eval/toy_target_test/predictions.jsonl"
    assert (tmp_path / name).read_bytes() == (workdir / name).read_bytes()


def test_evaluation_in_a_workdir_that_is_read_only_is_refused_before_the_work(
    finished, small_disk, monkeypatch
):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    monkeypatch.setattr(evaluate, "restore_run", lambda *_: pytest.fail("the work has begun"))
    said = rf"^{small_disk} cannot be written \(Read-only file system\): `vmr eval OTHER --restore="
    with pytest.raises(PermissionError, match=said):
        evaluate.evaluate_checkpoint(None, str(small_disk), str(finished[0]), CONSOLE)


def test_results_are_printed_before_a_full_disk_ends_an_evaluation(finished, small_disk):
    fill(small_disk, free=0)
    console = Console(file=io.StringIO(), width=100)
    with pytest.raises(
        FullDiskError, match=r"no space is left for \S+/predictions.jsonl: more than"
    ):
        evaluate.evaluate_checkpoint(None, str(small_disk), str(finished[0]), console)
    assert f"{finished[1]['model']['mIoU']:.2f}" in console.file.getvalue()
    assert not [path.name for path in (small_disk / "eval").rglob("*") if path.is_file()]


def test_a_checkpoint_on_another_dataset(finished, toy_data, tmp_path):
    write_toy(tmp_path / "data", "toy_third", videos=8, seed=5)
    config = eva.get_config("toy_source,toy_third")
    config.update_from_flattened_dict(small_settings(tmp_path / "data"))
    config.target.windows = (3, 6)
    report = evaluate.evaluate_checkpoint(config, str(tmp_path), str(finished[0]), CONSOLE)
    assert (report["dataset"], report["queries"]) == ("toy_third", 10)
    message = "normalize='none' has no effect on an evaluation: .* trained with 'standardize'"
    with pytest.raises(ValueError, match=message):
        given = ["target.normalize"]
        evaluate.evaluate_checkpoint(config, "", str(finished[0]), CONSOLE, given=given)
    write_toy(tmp_path / "wide", "toy_third", videos=8, width=9)
    config.data_dir = str(tmp_path / "wide")
    with pytest.raises(ValueError, match=r"clip features of toy_third have width 9.*with 8"):
        evaluate.evaluate_checkpoint(config, str(tmp_path), str(finished[0]), CONSOLE)


def test_a_checkpoint_decides_its_system(finished, toy_data, tmp_path):
    workdir = str(finished[0])
    config = small_vlanet(toy_data)
    with pytest.raises(ValueError, match="holds a checkpoint of eva, but --config is of vlanet"):
        evaluate.evaluate_checkpoint(config, str(tmp_path), workdir, CONSOLE)
    config = _config(toy_data, dim=6, **{"eval.top_k": 3, "target.labels": True})
    for key, trained in (("dim", 8), ("target.labels", False)):
        message = f"--config.{key}={config[key] if key == 'dim' else True} has no effect on an "
        with pytest.raises(ValueError, match=f"{message}evaluation: .* trained with {trained}. "):
            evaluate.evaluate_checkpoint(config, "", workdir, CONSOLE, given=["eval.top_k", key])
    evaluate.evaluate_checkpoint(config, str(tmp_path), workdir, CONSOLE, given=["eval.top_k"])


def test_vlanet_trains_and_is_evaluated_by_the_same_code(toy_data, tmp_path):
    config = small_vlanet(toy_data)
    report = train.train(config, tmp_path, "", CONSOLE)
    lines = lines_of(tmp_path)
    assert [line["step"] for line in lines] == [3, 6, 9, 12, 15, 18]
    names = {"loss", "contrastive", "similarity_positive", "similarity_negative", "grad_norm"}
    assert {f"train/{name}" for name in names} == set(lines[0]) - {"step"}
    assert set(report["model"]) == set(report["location_prior"]) and report["queries"] == 10
    again = evaluate.evaluate_checkpoint(None, str(tmp_path / "again"), str(tmp_path), CONSOLE)
    assert again == report
    assert train.train(config, tmp_path, "", CONSOLE) == report
    config.infer.fill = False  # no parameter depends on it: an evaluation may change it
    evaluate.evaluate_checkpoint(config, str(tmp_path / "less"), str(tmp_path), CONSOLE)
    name = "eval/toy_target_test/predictions.jsonl"
    windows = [
        sum(
            len(json.loads(line)["pred_relevant_windows"]) for line in file.read_text().splitlines()
        )
        for file in (tmp_path / name, tmp_path / "less" / name)
    ]
    assert windows[0] > windows[1]


def test_selection_on_a_validation_split(toy_data, tmp_path):
    changes = {"select": "val", "target.select_split": "val", "checkpoint_every": 1}
    report = train.train(_quick_config(toy_data, **changes), tmp_path, "", CONSOLE)
    scores = {x["step"]: x for x in lines_of(tmp_path) if "val/mIoU" in x}
    assert list(scores) == [6, 12, 18]
    best = max(score["val/R@1,IoU=0.5"] for score in scores.values())
    assert scores[report["checkpoint"]["step"]]["val/R@1,IoU=0.5"] == best
    assert report["checkpoint"]["selected_by"] == "val"


def test_the_last_epoch_is_a_candidate_too(toy_data, tmp_path):
    changes = LABELLED | {"select": "holdout", "eval_every": 2, "checkpoint_every": 3}
    report = train.train(_quick_config(toy_data, **changes), tmp_path, "", CONSOLE)
    lines = lines_of(tmp_path)
    assert [x["step"] for x in lines if "val/mIoU" in x] == [10, 15]
    assert report["checkpoint"]["selected_by"] == "holdout"


def test_labels_that_are_hidden_are_not_scored(toy_data, tmp_path):
    """Neither reported nor chosen by; the predictions are written all the same."""
    write_toy(tmp_path, "toy_target", labels=False)
    write_toy(tmp_path, "toy_source")
    hidden = {"data_dir": str(tmp_path), "epochs": 1}
    said = io.StringIO()
    report = train.train(
        _quick_config(toy_data, **hidden), tmp_path / "run", "", Console(file=said)
    )
    assert not {"model", "random", "location_prior"} & set(report)
    assert "no metrics, only predictions.jsonl" in said.getvalue()
    folder = tmp_path / "run/eval/toy_target_test"
    assert json.loads((folder / "metrics.json").read_text()) == report
    assert len(read_predictions(folder / "predictions.jsonl")) == report["queries"] == 10
    chosen = {"select": "val", "target.select_split": "val"}
    with pytest.raises(ValueError, match="toy_target / val has no labels to choose a checkpoint"):
        train.train(_quick_config(toy_data, **chosen, **hidden), tmp_path / "two", "", CONSOLE)


def test_a_split_must_not_hide_some_labels(toy_data):
    dataset = load_dataset(toy_data, "toy_target", "features")
    test = dataset.splits["test"]
    hidden = test._replace(moments=(test.moments[0][:0], *test.moments[1:]))
    dataset = dataset._replace(splits=dataset.splits | {"test": hidden})
    with pytest.raises(ValueError, match="1 of 10 queries of toy_target / test have no labels to"):
        reported_domain(_config(toy_data), dataset, {})


def test_a_split_that_chooses_must_not_hide_some_labels(toy_data, monkeypatch):
    config = _config(toy_data)
    dataset = load_dataset(toy_data, "toy_target", "features")
    val = dataset.splits["val"]
    hidden = val._replace(moments=(val.moments[0][:0], *val.moments[1:]))
    some = dataset._replace(splits=dataset.splits | {"val": hidden})
    monkeypatch.setattr("vmr_jax.evaluation.moments.evaluation_dataset", lambda *_: some)
    trained = {"video_dim": 8, "word_dim": 6}
    with pytest.raises(ValueError, match="1 of .* queries of toy_target / val have no labels to"):
        evaluate.make_evaluation(config, trained, "val", make_mesh(), CONSOLE)


def test_holdout_is_a_tenth_of_the_training_videos(toy_data, tmp_path):
    config = _quick_config(toy_data, select="holdout", epochs=1, **LABELLED)
    report = train.train(config, tmp_path, "", CONSOLE)
    assert report["checkpoint"]["selected_by"] == "holdout"
    assert any("val/mIoU" in line for line in lines_of(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"select": "test"}, "a test split never selects"),
        (
            {"select": "val", "target.eval_split": "val"},
            "neither trained on nor reported: use --config.select=last",
        ),
        (
            {"select": "val", "target.eval_split": "val", "target.labels": True},
            "neither trained on nor reported: use --config.select=holdout .a tenth",
        ),
        ({"select": "holdout"}, "toy_target's training videos that target.labels=False hides: use"),
        (
            {"select": "holdout", "pretrain": "source_finetune", "branches.full": False},
            "that target.labels=False hides",
        ),
        ({"select": "val", "target.select_split": "test"}, "may choose the checkpoint"),
        ({"select": "val", "target.select_split": "train"}, "may choose the checkpoint"),
        (
            {"select": "val", "target.select_split": "val", "target.train_split": "val"},
            "neither trained on nor reported may choose the checkpoint",
        ),
        ({"target.eval_split": "tset"}, "no split 'tset'"),
        ({"metric.iou_cmp": ">="}, "must be 'ge' or 'gt'"),
        ({"epochs": 0}, "config.epochs=0: it must be at least 1"),
        ({"log_every": 0}, "config.log_every=0"),
        ({"checkpoint_every": 0}, "config.checkpoint_every=0"),
        ({"eval_every": -1}, "config.eval_every=-1"),
        (
            {"select": "holdout", "target.labels": True, "target.train_split": "training"},
            "no split 'training'",
        ),
        (
            {"losses.domain": True, "domain.form": "minus_no_grl", "optimizer.grad_clip": 1.0},
            "grad_clip=0",
        ),
        (
            {
                "pretrain": "source_finetune",
                "branches.full": False,
                "full.match": "sim_max",
            },
            "does not have: use clips or proposals",
        ),
        ({"data.residency": "disk"}, "data.residency is 'disk'"),
        ({"batch_size": 64}, "fewer than batch_size 64"),
        ({"optimizer.name": "sgd"}, "optimizer.name is 'sgd'"),
        ({"target.train_split": "training"}, "no split 'training'"),
        ({"target.features": "c3d"}, "vmr prepare"),
    ],
)
def test_bad_settings_are_refused(toy_data, tmp_path, changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        train.train(_config(toy_data, **changes), tmp_path, "", CONSOLE)
    assert not (tmp_path / "pretrain").exists()


def test_another_config_in_the_same_workdir_is_refused(finished, toy_data):
    with pytest.raises(ValueError, match=r"config.dim: was 8, is 16"):
        train.train(_config(toy_data, dim=16), finished[0], "", CONSOLE)


def test_restored_parameters_start_another_run(toy_data, tmp_path):
    first, second = tmp_path / "first", tmp_path / "second"
    train.train(_quick_config(toy_data, epochs=1), first, "", CONSOLE)
    unmoved = _quick_config(toy_data, **{"optimizer.learning_rate": 0.0, "epochs": 1, "seed": 1})
    unmoved.target.normalize = "standardize"
    train.train(unmoved, second, str(first), CONSOLE)
    inputs = {INPUTS: {"target": statistics_of(toy_data, "toy_target")}}
    assert_same(params_of(second), params_of(first) | inputs)


def test_a_non_finite_loss_stops_and_keeps_the_last_good_checkpoint(toy_data, tmp_path):
    config = _quick_config(toy_data, **{"optimizer.learning_rate": 1e30})
    with pytest.raises(logs.NonFiniteLossError, match=r"step \d+: .*contrastive.* is not finite"):
        train.train(config, tmp_path, "", CONSOLE)
    steps = Checkpoints(tmp_path / "checkpoints").steps()
    for step in steps:
        params = Checkpoints(tmp_path / "checkpoints", read_only=True).restore_params(step)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params))


def test_pretraining_on_the_source_comes_first(toy_data, tmp_path):
    changes = {"pretrain": "source_finetune", "branches.full": False, "epochs": 1, "select": "val"}
    said = io.StringIO()
    report = train.train(_config(toy_data, **changes), tmp_path, "", Console(file=said, width=200))
    path = tmp_path / "pretrain" / "eval" / "toy_target_test" / "metrics.json"
    source_only = json.loads(path.read_text())
    assert report["checkpoint"]["step"] == 6 and report["model"] != source_only["model"]
    again = evaluate.evaluate_checkpoint(None, "", str(tmp_path / "pretrain"), CONSOLE)
    assert again == source_only
    chosen = [report["checkpoint"]["selected_by"] for report in (source_only, report)]
    assert chosen == ["toy_source/val", "val"]  # by what each stage may see
    start = "the checkpoint is chosen by R@1,IoU=0.5 on"
    lines = [line for line in said.getvalue().splitlines() if line.startswith(start)]
    assert lines == [f"{start} toy_{role} / val: 8 queries" for role in ("source", "target")]


@pytest.mark.parametrize(
    ("epoch", "size"), [(18, 50), (193, 50), (194, 50), (31, 25), (60, 7), (1, 1)]
)
def test_chunks_cover_every_step_once(epoch, size):
    pieces = list(steps.chunks(0, 3 * epoch, epoch, size))
    assert [step for begin, end in pieces for step in range(begin, end)] == list(range(3 * epoch))
    assert all(end % epoch == 0 or begin // epoch == end // epoch for begin, end in pieces)
    lengths = [end - begin for begin, end in pieces]
    assert max(lengths) == steps.longest_chunk(epoch, size) <= size
    assert max(lengths) - min(lengths) <= 1
    middle = pieces[len(pieces) // 2][0]
    assert list(steps.chunks(middle, 3 * epoch, epoch, size)) == [
        p for p in pieces if p[0] >= middle
    ]
    for first in (1, middle + 1, 3 * epoch - 1):  # a run that other pieces were cut for
        rest = list(steps.chunks(first, 3 * epoch, epoch, size))
        assert [step for a, b in rest for step in range(a, b)] == list(range(first, 3 * epoch))
        assert rest[1:] == [piece for piece in pieces if piece[0] > first]


def test_a_run_without_patience_ends_early_and_stays_ended(toy_data, tmp_path, monkeypatch):
    scores = iter([30.0, 20.0, 25.0, 10.0, 10.0])
    made = run.make_evaluation

    def falling(*args):
        return made(*args)._replace(select=lambda params: {"R@1,IoU=0.5": next(scores)})

    monkeypatch.setattr(run, "make_evaluation", falling)
    settings = LABELLED | {"select": "holdout", "epochs": 6, "checkpoint_every": 1}
    config = _quick_config(toy_data, patience=2, **settings)
    said = io.StringIO()
    report = train.train(config, tmp_path, "", Console(file=said, width=200))
    steps = [x["step"] for x in lines_of(tmp_path) if "val/R@1,IoU=0.5" in x]
    assert [line for line in said.getvalue().splitlines() if line.endswith(" on holdout")] == [
        f"step {step}: R@1,IoU=0.5 {score} on holdout"
        for step, score in zip(steps, ("30.00", "20.00", "25.00"), strict=True)
    ]
    assert len(steps) == 3 and report["checkpoint"]["step"] == steps[0]
    assert (tmp_path / "last_epoch" / "eval").is_dir()
    assert train.train(config, tmp_path, "", CONSOLE) == report
    assert len(list(scores)) == 2  # nothing was trained or scored again


def test_patience_needs_scores(toy_data, tmp_path):
    with pytest.raises(ValueError, match="patience waits for a better checkpoint"):
        train.train(_config(toy_data, patience=3), tmp_path, "", CONSOLE)
