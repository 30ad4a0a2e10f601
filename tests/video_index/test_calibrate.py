"""Probabilities of moments: the curve, its reliability, and what a search makes of it."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import expit

from tests.command_line import vmr
from tests.video_index.small import DOOR, film, known
from vmr_jax.data.datasets.records import MomentRecord
from vmr_jax.video_index.calibrate import calibrate, fit, reliability
from vmr_jax.video_index.corpus import CALIBRATION, Corpus
from vmr_jax.video_index.found import Found


def test_the_curve_is_the_one_that_made_the_labels():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=20_000) * 0.1 + 0.3
    right = (rng.random(20_000) < expit(12 * scores - 4)).astype(float)
    assert fit(scores, right) == pytest.approx((12, -4), rel=0.05)
    assert fit(scores, 1 - right)[0] == 0  # a better score is never less likely


def test_reliability_of_groups():
    predicted = np.array([0.9, 0.1, 0.3, 0.2, 0.8])
    right = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    bins = reliability(predicted, right)
    assert [tuple(one) for one in bins] == [
        (0.1, 0.0, 1),
        (0.2, 0.0, 1),
        (0.3, 1.0, 1),
        (0.8, 1.0, 1),
        (0.9, 1.0, 1),
    ]


class Known:
    """A corpus of ten videos, in which a sentence "N" is about video N; half are found."""

    videos = tuple(SimpleNamespace(id=str(number)) for number in range(10))
    found_by_run = ""

    def __init__(self, index: Path):
        self.index = index

    def search(self, sentence, top_k, videos, modality):
        assert modality == "video"  # its scores are what the curve is of
        about, found = sentence.split()
        good = about == videos[0] and found == "found"
        start = 0.0 if good else 50.0
        return [Found(videos[0], Path(), start, start + 10, 2.0 + int(about) / 10 if good else 1.0)]


def records(count):
    moment = np.array([[0.0, 10.0]])
    return [
        MomentRecord(str(i), str(i % 10), f"{i % 10} {'found' if i % 3 else 'lost'}", moment)
        for i in range(count)
    ]


def test_right_and_wrong_moments_are_told_apart(tmp_path):
    bins = calibrate(Known(tmp_path), records(120))
    assert sum(one.count for one in bins) == 240
    assert bins[0].observed == 0 and bins[0].predicted < 0.2
    assert bins[-1].observed == 1 and bins[-1].predicted > 0.8
    told = json.loads((tmp_path / CALIBRATION).read_text())
    assert told["slope"] > 0 and (told["moments"], told["right"]) == (240, 80)
    assert calibrate(Known(tmp_path), records(120)) == bins


def test_too_few_labels_are_refused(tmp_path):
    with pytest.raises(ValueError, match="6 of 20 moments are right; a curve needs 20 of each"):
        calibrate(Known(tmp_path), records(10))
    with pytest.raises(ValueError, match="0 labelled sentences are about videos of the index"):
        calibrate(Known(tmp_path), [])
    assert not (tmp_path / CALIBRATION).exists()


def test_a_search_tells_probabilities(tmp_path, monkeypatch):
    known(monkeypatch)
    for number, seconds in enumerate((12, 16)):
        film(tmp_path / f"film{number}.mp4", seconds, number)
    out = tmp_path / "my.index"
    assert vmr("index", tmp_path, "--out", out, "--jobs", 0).exit_code == 0
    before = Corpus(out).search(DOOR)
    (out / CALIBRATION).write_text(json.dumps({"slope": 2.0, "offset": -3.0}))
    for moment, plain in zip(Corpus(out).search(DOOR), before, strict=True):
        assert plain.probability is None and moment[:5] == plain[:5]
        assert moment.probability == pytest.approx(expit(2 * moment.score - 3))
    shown = vmr("search", out, DOOR).stdout
    assert "probability" in shown and "Perhaps in none of these videos" in shown
    line = json.loads(vmr("search", out, DOOR, "--json").stdout)
    assert 0 < line["moments"][0]["probability"] < 0.5
    labels = tmp_path / "labels.jsonl"
    row = {"qid": 1, "query": DOOR, "vid": "film0", "duration": 12, "relevant_windows": [[0, 4]]}
    labels.write_text(json.dumps(row) + "\n")
    assert "a curve needs 20 of each" in str(vmr("calibrate", out, labels).exception)
