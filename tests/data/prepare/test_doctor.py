"""The doctor's findings."""

import numpy as np
import pytest
from rich.console import Console

from vmr_jax.data.datasets.records import Annotations, Fault, MomentRecord
from vmr_jax.data.prepare.doctor import check, check_built, check_names, count_errors, fault_table
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.data.tables.store import read_report, write_report


def annotations(videos=10, faults=()):
    records = [
        MomentRecord(f"q{n}", f"v{n}", "A dog runs.", np.array([[0.0, 5.0]])) for n in range(videos)
    ]
    durations = {f"v{n}": 10.0 + n for n in range(videos)}
    return Annotations("toys", {"train": records}, durations, list(faults), {})


def varied(*shape):
    """Features whose rows differ."""
    return np.arange(1, 1 + np.prod(shape), dtype=np.float32).reshape(shape)


def arrays(videos=10):
    return {f"v{n}": varied(10 + n, 4) for n in range(videos)}


def test_nothing_to_report():
    assert (
        check(annotations(), from_arrays(arrays()), {w: np.ones(2) for w in ("a", "dog", "runs")})
        == []
    )


@pytest.mark.parametrize(
    ("features", "fault"),
    [
        (varied(10, 5), ("features of another width", "v0 (5, usual is 4)", "")),
        (np.full((10, 4), np.nan), ("features with NaN or infinity", "v0", "")),
        (np.full((10, 4), -np.inf), ("features with NaN or infinity", "v0", "")),
        (np.full((10, 4), -7e4), ("features beyond float16 (65504)", "v0", "")),
        (np.ones((0, 4)), ("features without a clip", "v0", "")),
        (np.ones(4), ("features cannot be read", "v0: shape (4,); expected (clips, width)", "")),
        (
            varied(20, 4),
            (
                "number of clips does not fit the duration",
                "v0 (20 clips, 10 expected of 10.0 s)",
                "kept; its clips are spread over the duration",
            ),
        ),
        (np.ones((10, 4)), ("all rows are the same", "v0", "kept; nothing is found in it")),
        (
            np.concatenate([varied(8, 4), np.zeros((2, 4))]),
            ("zero rows at the end", "v0 (2 of 10)", "kept"),
        ),
    ],
)
def test_one_bad_video(features, fault):
    assert check(annotations(), from_arrays(arrays() | {"v0": features})) == [fault]


def test_features_resampled_to_one_length_fit_every_duration():
    features = {video: varied(7, 4) for video in arrays()}
    raw = annotations()._replace(durations={f"v{n}": 10.0 * (n + 1) for n in range(10)})
    assert check(raw, from_arrays(features)) == []


@pytest.mark.parametrize(
    ("features", "fault"),
    [
        (
            {v: varied(8, n) for n, v in enumerate(arrays(), 4)},
            (
                "features look transposed",
                "10 videos of shape (8, 10 or 11 or 12, …); expected (clips, width)",
                "",
            ),
        ),
        ({v: np.zeros((10, 4)) for v in arrays()}, ("all features are zero", "10 videos", "")),
        (
            {v: np.ones((1, 4)) for v in arrays()},
            ("one clip a video", "10 videos of about 14 s; a row for each clip is needed", ""),
        ),
    ],
)
def test_features_in_which_nothing_can_be_found(features, fault):
    assert check(annotations(), from_arrays(features)) == [fault]


def test_one_odd_width_does_not_look_transposed():
    features = {video: varied(7, 4) for video in arrays()} | {"v3": varied(7, 5)}
    (fault,) = check(annotations(), from_arrays(features))
    assert fault == ("features of another width", "v3 (5, usual is 4)", "")


def test_one_video_of_zeros_is_kept():
    (fault,) = check(annotations(), from_arrays(arrays() | {"v3": np.zeros((13, 4))}))
    assert fault == ("features are all zero", "v3", "kept; nothing is found in it")


def test_ids_in_another_form():
    features = {f"{video}.mp4": clips for video, clips in arrays().items()}
    faults = check(annotations(), from_arrays(features))
    assert len(faults) == 10
    assert faults[0] == ("id has another form in the features", "'v0' is 'v0.mp4'", "taken as one")
    features["v0.avi"] = features["v0.mp4"]
    missing = check(annotations(), from_arrays(features))[0]
    assert missing == ("video without features", "'v0' (alike: 'v0.avi' and 'v0.mp4')", "")


def test_vectors_of_other_words():
    faults = check(annotations(), None, {})
    assert faults[-1].kind == "no word of the queries has a vector" and not faults[-1].repair


def test_names():
    features = arrays(9) | {"other": np.ones((3, 4))}
    missing, unused = check(annotations(), from_arrays(features))
    assert missing == ("video without features", "v9", "")
    assert unused == ("features of no annotated video", "other", "not stored")
    missing, _ = check_names(annotations(), from_arrays(features), drop_missing=True)
    assert missing.repair == "left out, with its queries"


def test_words():
    raw = annotations(2)
    raw.splits["train"][0] = raw.splits["train"][0]._replace(sentence="... !")
    raw.splits["train"].append(
        raw.splits["train"][1]._replace(sentence="Cat dog dog", query_id="x")
    )
    assert check(raw, None, {"a": np.ones(2), "runs": np.ones(2)}) == [
        ("sentence without words", "train q0", "read as one unknown word"),
        ("word without a vector", "dog", "read as unknown; 33.33 % of running words have a vector"),
        ("word without a vector", "cat", "read as unknown; 33.33 % of running words have a vector"),
    ]


def test_faults_of_the_reader_come_along():
    fault = Fault("duplicate query id", "train q0", "")
    assert check(annotations(faults=[fault])) == [fault]


def test_the_table_has_a_line_a_kind_and_errors_first(capsys):
    faults = [Fault("b repaired", f"id {n}", "put [right]") for n in range(1234)]
    faults += [Fault("z wrong", "id [1]", ""), Fault("long", "x" * 70, ""), Fault("long", "y", "")]
    Console(width=120).print(fault_table(faults, "toys"))
    lines = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if "│" in line]
    cells = [[cell.strip() for cell in line] for line in lines if line[0].strip()]
    assert cells[0][:2] == ["long", "2"] and cells[0][3] == "error"
    assert cells[1] == ["z wrong", "1", "id [1]", "error"]
    assert cells[2] == ["b repaired", "1,234", "id 0, id 1, id 2, …", "put [right]"]
    assert count_errors(faults) == 3


@pytest.fixture
def built(tmp_path):
    fault = Fault("inverted moment", "train q77", "query dropped")
    features = from_arrays(arrays(9))
    vectors = {"a": np.ones(2), "dog": np.ones(2)}
    raw = annotations(faults=[fault])
    write_dataset(tmp_path, raw, features, "f", vectors, drop_missing=True)
    return tmp_path


def test_a_built_dataset_tells_what_was_done(built):
    assert check_built(built, "toys", "f") == [
        ("inverted moment", "train q77", "query dropped"),
        (
            "word without a vector",
            "runs",
            "read as unknown; 66.67 % of running words have a vector",
        ),
        ("video without features", "v9", "left out, with its queries"),
    ]


def test_a_built_dataset_that_was_changed(built):
    report = read_report(built / "toys/moments")
    report["splits"]["train"]["kept"] += 1
    write_report(built / "toys/moments", report)
    assert [fault for fault in check_built(built, "toys", "f") if not fault.repair] == [
        ("queries are not those of the report", "train: 9", ""),
    ]


def test_features_of_other_queries_are_one_error(built):
    directory = built / "toys/videos-f"
    write_report(directory, read_report(directory) | {"queries_fingerprint": "other"})
    (fault,) = check_built(built, "toys", "f")
    assert (fault.kind, fault.repair) == ("dataset cannot be loaded", "")
    assert "not prepared for the queries that are there" in fault.where
    assert "vmr prepare jsonl --name toys" in fault.where


def test_a_damaged_table(built):
    path = next((built / "toys/videos-f").glob("*array_record*"))
    path.write_bytes(path.read_bytes()[:100])
    (fault,) = check_built(built, "toys", "f")
    assert (fault.kind, fault.repair) == ("dataset cannot be loaded", "")
    assert f"{path} is damaged: it has 100 bytes" in fault.where


def test_nothing_prepared(tmp_path):
    with pytest.raises(FileNotFoundError, match="vmr prepare didemo"):
        check_built(tmp_path, "didemo", "f")
