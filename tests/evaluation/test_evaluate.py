"""DiDeMo's own metric from training to the report, and what is refused before training."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from tests.conftest import small_settings, write_toy
from vmr_jax import models
from vmr_jax.configs import common, eva, mmcda, mmn, vdi
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.evaluation.evaluate import evaluate_checkpoint
from vmr_jax.evaluation.moments import reported_domain
from vmr_jax.evaluation.predictions import read_predictions
from vmr_jax.metrics.didemo import MOMENTS, moment_frequency_prior, split_metrics
from vmr_jax.training import loop as train

WIDTHS = {"video_dim": 8, "word_dim": 6}
OFFICIAL = ["rank@1", "rank@5", "mIoU"]


def write_didemo(data_dir, name="didemo_toy", rows=0, moment=None, labelled=True, segments=(5, 6)):
    """Prepare videos of five and six segments with four annotators; all have `rows` rows if set.

    `moment` in seconds takes the place of the annotations of test queries.
    """
    rng = np.random.default_rng(5)
    splits, durations, features = {}, {}, {}
    for split, videos in (("train", 10), ("val", 4), ("test", 5)):
        splits[split] = []
        for index in range(videos):
            video, count = f"{split}{index}", segments[index % 2]
            durations[video] = 5.0 * count
            features[video] = rng.normal(size=(rows or count, 8)).astype(np.float32)
            own = MOMENTS[MOMENTS[:, 1] < count]
            marked = 5.0 * (own[rng.integers(0, len(own), 4)] + (0, 1))
            if moment and split == "test":
                marked = np.array([moment])
            if split == "train" and not labelled:
                marked = marked[:0]
            splits[split].append(MomentRecord(f"{split}{index}", video, "a red door", marked))
    vectors = {word: rng.normal(size=6).astype(np.float32) for word in ("a", "red", "door")}
    annotations = Annotations(name, splits, durations, [], {})
    write_dataset(data_dir, annotations, from_arrays(features), "features", vectors)


def config_of(data_dir, **changes):
    """A small EVA from toy_source to didemo_toy."""
    config = eva.get_config("toy_source,didemo_toy")
    settings = small_settings(data_dir) | {
        "source.features": "features",
        "target.features": "features",
        "epochs": 1,
        "losses.align": False,  # less to compile
        "losses.domain": False,
    }
    kept = common.domain_block("didemo", labels=False, windows=True)
    settings |= {f"target.{key}": kept[key] for key in ("max_clips", "windows", "stride")}
    config.update_from_flattened_dict(settings | changes)
    return config


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("didemo")
    write_toy(folder, "toy_source")
    write_didemo(folder)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, data_dir):
    """A finished run that validation chose, its report, and what it printed."""
    workdir = tmp_path_factory.mktemp("run")
    console = Console(file=io.StringIO(), width=120)
    report = train.train(config_of(data_dir, select="val"), workdir, "", console)
    return workdir, report, console.file.getvalue()


def test_the_report_has_the_official_figures(finished):
    workdir, report, said = finished
    path = workdir / "eval" / "didemo_toy_test" / "metrics.json"
    assert json.loads(path.read_text()) == report
    for method in ("model", "random", "location_prior"):
        assert list(report[method])[-3:] == OFFICIAL
        assert "R@5,IoU=0.7" in report[method]
    lines = [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]
    assert {"val/rank@1", "val/R@1,IoU=0.5"} < set(lines[-1])
    assert said.count("rank@1, rank@5, mIoU: mean of the best three annotators (official)") == 1


def test_the_report_is_of_the_written_predictions(finished, data_dir):
    workdir, report, _ = finished
    found = read_predictions(workdir / "eval" / "didemo_toy_test" / "predictions.jsonl")
    truths = truths_of(data_dir, "test")
    assert {len(rows) for rows in found.values()} == {15, 21}
    rows = [found[qid] for qid in truths]
    again = split_metrics(rows, list(truths.values()), didemo="official")
    assert report["model"] == pytest.approx(again)
    prior = [moment_frequency_prior(list(truths_of(data_dir, "train").values()))] * len(truths)
    again = split_metrics(prior, list(truths.values()), didemo="official")
    assert report["location_prior"] == pytest.approx(again)


def truths_of(data_dir, split):
    """Query id -> moments of the prepared split."""
    table = load_dataset(data_dir, "didemo_toy", "features").splits[split]
    return dict(zip(table.query_id, table.moments, strict=True))


def test_evaluation_by_the_best_annotator(finished, data_dir, tmp_path):
    workdir, report, _ = finished
    console = Console(file=io.StringIO(), width=120)
    config = config_of(data_dir, **{"metric.didemo": "any"})
    loose = evaluate_checkpoint(config, str(tmp_path), str(workdir), console)
    assert all(loose["model"][name] >= report["model"][name] for name in OFFICIAL)
    assert loose["model"] != report["model"]
    assert "rank@1, rank@5, mIoU: best annotator" in console.file.getvalue()
    config = config_of(data_dir, **{"metric.didemo": ""})
    plain = evaluate_checkpoint(config, str(tmp_path), str(workdir), console)
    assert "rank@1" not in plain["model"] and plain["model"]["mIoU"] == loose["model"]["mIoU"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metric.didemo": "best"}, "metric.didemo is 'best'; it must be ''.*'official' or 'any'"),
        ({"eval.top_k": 20}, r"set eval.top_k=21 \(is 20\) and eval.nms=1.0 \(is 1.0\)"),
        ({"eval.nms": 0.5}, r"eval.nms=1.0 \(is 0.5\), or --config.metric.didemo='' to leave"),
        (
            {"target.clip_sampling": "uniform"},
            "3 of 5 videos of didemo_toy do not .* 5 s, e.g. test0: 6 rows for 25 s",
        ),
    ],
)
def test_settings_that_cannot_be_scored(data_dir, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        train.train(config_of(data_dir, **changes), tmp_path, "", Console(quiet=True))
    assert not list(tmp_path.iterdir())  # refused before anything is trained


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"rows": 6}, "test0: 6 rows for 25 s.*`vmr prepare didemo` leaves out zero rows"),
        ({"moment": (0, 7)}, r"annotated moment \[0, 7\] s of query test0 is not made of DiDeMo's"),
    ],
)
def test_data_that_cannot_be_scored(tmp_path, data, message):
    write_didemo(tmp_path, **data)
    dataset = load_dataset(tmp_path, "didemo_toy", "features")
    with pytest.raises(ValueError, match=message):
        reported_domain(config_of(tmp_path), dataset, WIDTHS)
    reported_domain(config_of(tmp_path, **{"metric.didemo": ""}), dataset, WIDTHS)


def test_training_labels_may_be_hidden(tmp_path):
    write_didemo(tmp_path, labelled=False)
    dataset = load_dataset(tmp_path, "didemo_toy", "features")
    assert len(reported_domain(config_of(tmp_path), dataset, WIDTHS).moments) == 5


def map_config(data_dir, **changes):
    """A small MMCDA on the map of six clips, from toy_source to didemo_toy."""
    config = mmcda.get_config("toy_source,didemo_toy")
    config.update_from_flattened_dict(
        {"data_dir": str(data_dir), "target.features": "features", "eval.batch_size": 8}
        | {"base": "map2d", "map.clips": 6, "map.pooling_counts": (5,)}
        | changes
    )
    return config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "6 clips are .* only in videos of 30 s, but 3 of 5 have .* e.g. test0: 25 s"),
        ({"map.clips": 16, "map.pooling_counts": (15,)}, "videos of 80 s, but 5 of 5 have another"),
    ],
)
def test_a_map_of_other_clips_cannot_be_scored(data_dir, changes, message):
    dataset = load_dataset(data_dir, "didemo_toy", "features")
    with pytest.raises(ValueError, match=message):
        reported_domain(map_config(data_dir, **changes), dataset, WIDTHS)
    plain = map_config(data_dir, **changes, **{"metric.didemo": ""})
    assert len(reported_domain(plain, dataset, WIDTHS).moments) == 5
    spans = map_config(data_dir, **changes, base="span")
    assert len(reported_domain(spans, dataset, WIDTHS).moments) == 5


def test_a_map_of_six_clips_ranks_the_moments_of_six_segments(tmp_path):
    write_didemo(tmp_path, segments=(6, 6))
    dataset = load_dataset(tmp_path, "didemo_toy", "features")
    config = map_config(tmp_path)
    assert len(reported_domain(config, dataset, WIDTHS).moments) == 5
    cells = models.of(config).moment_map(config)
    assert set(zip(cells.row, cells.column, strict=True)) == set(map(tuple, MOMENTS))
    with pytest.raises(ValueError, match=r"leaves 14 of the map's 21 moments, .* use \(5,\)"):
        config.map.pooling_counts = (1, 2)
        reported_domain(config, dataset, WIDTHS)


def test_systems_with_a_map_name_its_cells():
    for made in (mmn.get_config(), vdi.get_config(), map_config("")):
        assert models.of(made).moment_map(made).clips == made.map.clips
    assert models.of(mmcda.get_config()).moment_map(mmcda.get_config()) is None
    assert models.of(eva.get_config()).moment_map(eva.get_config()) is None
