"""An IoU that is a threshold exactly: a run's metrics.json, `vmr score` and rational arithmetic."""

import io
import json
from fractions import Fraction

import numpy as np
import pytest
from rich.console import Console

from tests.conftest import small_vlanet
from vmr_jax.data.datasets import read_annotations
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.evaluation.moment_report import score, write_report
from vmr_jax.evaluation.moments import refuse_nan, reported_domain
from vmr_jax.evaluation.predictions import Predicted
from vmr_jax.evaluation.score import score_files
from vmr_jax.layers.clip_spans import spans_to_seconds
from vmr_jax.metrics.moments import THRESHOLDS, reaches

CLIPS = 20


def ties(draw) -> list[tuple[str, tuple[int, int], tuple[str, str]]]:
    """(duration, predicted clips, true moment in decimals) of IoU 1/10, 3/10, 1/2 or 7/10."""
    found = []
    for _ in range(120):
        clip = Fraction(int(draw.integers(1, 900)), 100)
        part = Fraction(str(draw.choice(THRESHOLDS)))
        start = int(draw.integers(0, 10))
        end = start + 10
        moment = (start * clip, (start + 10 * part) * clip)
        found.append((str(float(CLIPS * clip)), (start, end), tuple(str(float(x)) for x in moment)))
    return found


@pytest.fixture
def case(tmp_path):
    """The config, the predictions of float32 devices, the labels, the exact recall at each IoU."""
    cases = ties(np.random.default_rng(0))
    lines = "".join(
        f'{{"qid": {row}, "query": "a dog", "vid": "v{row}", "duration": {duration}, '
        f'"relevant_windows": [[{start}, {end}]]}}\n'
        for row, (duration, _, (start, end)) in enumerate(cases)
    )
    labels = tmp_path / "test.jsonl"
    labels.write_text(lines)
    annotations = read_annotations("jsonl", labels)._replace(name="ties")
    source = from_arrays({f"v{row}": np.ones((CLIPS, 2), np.float32) for row in range(len(cases))})
    write_dataset(tmp_path, annotations, source, "features", {"dog": np.ones(2, np.float32)})
    config = small_vlanet(tmp_path)
    config.target.update({"dataset": "ties", "eval_split": "test", "max_clips": CLIPS})
    clips = np.array([clips for _, clips, _ in cases], np.float32)
    seconds = np.array([duration for duration, *_ in cases], np.float32)
    start, end = spans_to_seconds(clips[:, :1], clips[:, 1:], CLIPS, seconds)
    table = np.stack([start, end, np.ones_like(start)], axis=-1).astype(np.float64)
    ious = []
    for duration, (first, last), moment in cases:
        clip = Fraction(duration) / CLIPS
        lo, hi = first * clip, last * clip
        a, b = map(Fraction, moment)
        ious.append((min(b, hi) - max(a, lo)) / (max(b, hi) - min(a, lo)))
    exact = {m: 100 * sum(iou >= Fraction(str(m)) for iou in ious) / len(ious) for m in THRESHOLDS}
    return config, list(table), labels, exact


def test_a_run_and_score_agree_with_rational_arithmetic(case, tmp_path):
    config, predictions, labels, exact = case
    dataset = evaluation_dataset(config)
    domain = reported_domain(config, dataset, {"video_dim": 2, "word_dim": 2})
    metrics = score(predictions, domain, config)
    checkpoint = {"step": 1, "selected_by": "last epoch"}
    scored = (Predicted(predictions, None), metrics)
    console = Console(file=io.StringIO())
    write_report(scored, dataset, domain, config, checkpoint, tmp_path, console)
    folder = tmp_path / "eval/ties_test"
    written = json.loads((folder / "metrics.json").read_text())
    again = score_files(folder / "predictions.jsonl", labels).values
    assert written["model"] == again["model"] and written["random"] == again["random"]
    assert {m: written["model"][f"R@1,IoU={m:g}"] for m in THRESHOLDS} == exact


def test_times_are_as_annotated(case, tmp_path):
    _, _, labels, _ = case
    dataset = load_dataset(tmp_path, "ties", "features")
    for line in labels.read_text().splitlines():
        record = json.loads(line)
        row = record["qid"]
        place = dataset.splits["test"].query_id.index(str(row))
        (moment,) = dataset.splits["test"].moments[place].tolist()
        assert moment == record["relevant_windows"][0]
        video = dataset.videos.video_id.index(record["vid"])
        assert dataset.videos.duration[video] == record["duration"]


def test_a_tie_is_within_the_tolerance_alone():
    iou = np.array([0.5 - 2e-6, 0.5 - 5e-7, 0.5, 0.5 + 5e-7, 0.5 + 2e-6])
    assert reaches(iou, 0.5).tolist() == [False, True, True, True, True]
    assert reaches(iou, 0.5, "gt").tolist() == [False, False, False, False, True]


def test_scores_that_are_no_numbers_name_their_queries(case):
    config, predictions, _, _ = case
    domain = reported_domain(config, evaluation_dataset(config), {"video_dim": 2, "word_dim": 2})
    found = np.array(predictions)
    refuse_nan(found, domain)
    found[[3, 7], :, 2] = np.nan
    ids = f"{domain.table.query_id[3]}, {domain.table.query_id[7]}"
    with pytest.raises(ValueError, match=f"^2 of 120 queries of ties have scores .* e.g. {ids}: "):
        refuse_nan(found, domain)
