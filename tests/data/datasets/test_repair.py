"""Repairs of annotations."""

import numpy as np
import pytest

from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.datasets.repair import repair, set_duration


def annotations(split, *moments, durations=None):
    records = [
        MomentRecord(f"q{i}", "v", "a dog", np.array(m, np.float64).reshape(-1, 2))
        for i, m in enumerate(moments)
    ]
    return Annotations(
        "x", {split: records}, {"v": 10.0} if durations is None else durations, [], {}
    )


@pytest.mark.parametrize(
    ("moment", "kind"),
    [
        ((5, 3), "inverted moment"),
        ((5, 5), "zero-length moment"),
        ((10, 12), "moment wholly beyond the video"),
        ((-3, 0), "moment wholly beyond the video"),
        ((12, 11), "inverted moment"),
    ],
)
def test_invalid_moments_are_dropped_from_training_only(moment, kind):
    train = repair(annotations("train", moment, (1, 2)))
    assert [r.query_id for r in train.splits["train"]] == ["q1"]
    assert train.faults == [(kind, "train q0", "query dropped")]
    test = repair(annotations("test", moment, (1, 2)))
    np.testing.assert_array_equal(test.splits["test"][0].moments, [moment])
    assert test.faults == [(kind, "test q0", "kept; counts as a miss")]


@pytest.mark.parametrize("split", ["train", "test"])
def test_ends_are_clipped_to_the_video(split):
    fixed = repair(annotations(split, (8, 10.5), (-1, 3), (0, 10)))
    moments = [r.moments[0].tolist() for r in fixed.splits[split]]
    assert moments == [[8, 10], [0, 3], [0, 10]]
    assert fixed.faults == [
        ("moment ends beyond the video", f"{split} q0", "end clipped to the duration"),
        ("moment starts before 0", f"{split} q1", "start clipped to 0"),
    ]


def test_one_invalid_moment_of_several():
    fixed = repair(annotations("train", [(1, 2), (4, 3), (5, 6)]))
    np.testing.assert_array_equal(fixed.splits["train"][0].moments, [[1, 2], [5, 6]])
    assert fixed.faults == [("inverted moment", "train q0", "this moment of several dropped")]


def test_hidden_labels_stay():
    fixed = repair(annotations("train", [], durations={}))
    assert fixed.splits["train"][0].moments.shape == (0, 2)
    assert fixed.faults == []


def test_errors_have_no_repair():
    raw = annotations("val", (1, np.nan), (1, 2))
    twice = raw.splits["val"][1]
    raw.splits["val"].append(twice._replace(sentence=" "))
    raw.splits["test"] = []
    raw.splits["val"].append(twice._replace(query_id="q9", video_id="w"))
    assert repair(raw).faults == [
        ("moment is not finite", "val q0", ""),
        ("empty sentence", "val q1", ""),
        ("video without a duration", "val q9", ""),
        ("duplicate query id", "val q1", ""),
        ("split without queries", "test", ""),
    ]


def test_durations():
    durations, faults = {}, []
    for seconds in (10.0, 11.0, 0.0, float("nan"), 10.0):
        set_duration(durations, "v", seconds, str(seconds), faults)
    assert durations == {"v": 10.0}
    assert [(f.where, f.repair) for f in faults] == [
        ("11.0", "the first is used"),
        ("0.0", ""),
        ("nan", ""),
    ]
