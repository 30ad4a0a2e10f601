"""What the doctor finds by the attributes that `vmr extract` writes."""

import h5py
import numpy as np
import pytest

from tests.data.prepare.test_doctor import annotations
from vmr_jax.data.prepare.doctor import check
from vmr_jax.data.sources.features import join, open_features

SETTINGS = {"encoder": "clip-vit-b32", "weights": "0a", "precision": "float32", "fps": 1.0}


def write(path, videos, settings=SETTINGS, **changes):
    """A feature file of videos v0, v1 ... of 10, 11 ... s, with a row a second."""
    with h5py.File(path, "w") as file:
        file.attrs.update(settings)
        for number in videos:
            rows = np.random.default_rng(number).normal(size=(10 + number, 4))
            file[f"v{number}"] = rows
            about = {"times": np.arange(10.0 + number), "duration": 10.0 + number}
            file[f"v{number}"].attrs.update(about | changes)
    return path


def faults(*paths):
    """(kind, where) of what is found, and whether it is an error."""
    found = check(annotations(), join([open_features(path) for path in paths]))
    return [(fault.kind, fault.where, not fault.repair) for fault in found]


def test_features_of_one_kind_are_fine(tmp_path):
    assert faults(write(tmp_path / "a.h5", range(5)), write(tmp_path / "b.h5", range(5, 10))) == []


@pytest.mark.parametrize(
    ("key", "value", "kind", "told"),
    [
        ("encoder", "clip-vit-b16", "encoders", "clip-vit-b16 (4, such as v6), clip-vit-b32"),
        ("weights", "0b", "weights", "0a (6, such as v0), 0b (4, such as v6)"),
        ("fps", 2.0, "rates", "1.0 (6, such as v0), 2.0 (4, such as v6)"),
    ],
)
def test_a_mixture_is_an_error(tmp_path, key, value, kind, told):
    one = write(tmp_path / "a.h5", range(6))
    other = write(tmp_path / "b.h5", range(6, 10), {**SETTINGS, key: value})
    ((found, where, error),) = faults(one, other)
    assert found == f"features of several {kind}" and error
    assert where.startswith(f"{key}: {told}")


def test_files_that_say_nothing_are_no_mixture(tmp_path):
    assert (
        faults(write(tmp_path / "a.h5", range(6)), write(tmp_path / "b.h5", range(6, 10), {})) == []
    )


def test_rows_and_durations_are_compared_with_what_is_stored(tmp_path):
    fine = write(tmp_path / "a.h5", range(8))
    late = write(tmp_path / "b.h5", [8], duration=24.0)
    assert faults(fine, late, write(tmp_path / "c.h5", [9], times=np.arange(12.0))) == [
        (
            "frames are missing at the end",
            "v8 (the last row is of 17.0 s, the video ends at 24.0 s)",
            False,
        ),
        (
            "annotated duration is not that of the video",
            "v8 (18.0 s annotated, 24.0 s decoded)",
            False,
        ),
        ("rows are not those of the stored times", "v9 (19 rows, 12 times)", True),
    ]
