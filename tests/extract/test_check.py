"""Our features beside someone's: the best lag, the worst video first, what differs is said."""

import h5py
import numpy as np
import pytest

from tests.command_line import vmr
from vmr_jax.extract.check import check


def write(path, features):
    with h5py.File(path, "w") as file:
        for name, rows in features.items():
            file[name] = rows
    return path


def walk(seed, rows=30, width=16):
    """Features that change slowly around a common mean, as real ones do."""
    rng = np.random.default_rng(seed)
    return 1 + np.cumsum(rng.normal(scale=0.3, size=(rows, width)), axis=0)


def said(tmp_path, ours, theirs):
    return check(write(tmp_path / "ours.h5", ours), write(tmp_path / "theirs.h5", theirs))


def test_the_same_features_in_other_precision_and_length(tmp_path):
    ours = {f"v{n}": walk(n) for n in range(3)}
    scaled = {
        name: (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
        for name, rows in ours.items()
    }
    lines = said(tmp_path, ours, scaled)
    assert all(line[2:19] == ": cosine 1.0000 (" for line in lines[:3]) and len(lines) == 4
    assert lines[-1].startswith("3 of 3 common videos: mean cosine 1.0000, lowest 1.0000, of other")
    assert lines[-1].endswith("; lag 0 in 3, another number of rows in 0: the same features")


def test_a_lag_is_found_and_the_worst_comes_first(tmp_path):
    ours = {name: walk(n) for n, name in enumerate("abc")}
    theirs = {name: np.concatenate([walk(9, 2), rows])[:30] for name, rows in ours.items()}
    theirs["b"] = walk(7)
    lines = said(tmp_path, ours, theirs)
    assert lines[0].startswith("b: cosine ") and "rows here" not in lines[0]
    assert lines[1].startswith("a: cosine 1.0000 (other rows ") or lines[1].startswith(
        "c: cosine 1."
    )
    assert lines[1].endswith(", theirs +2 rows")
    assert "; lag 2 in 2, another number of rows in 0: " in lines[-1]


def test_other_widths_lengths_and_ids_are_told(tmp_path):
    fine = walk(1, 60)
    ours = {"a": fine, "b": walk(2), "only": walk(3), "z": np.zeros((5, 16))}
    theirs = {"a": fine[::2], "b": walk(2, width=8), "x": walk(4), "z": np.zeros((5, 16))}
    lines = said(tmp_path, ours, theirs)
    assert lines[0] == "b: width 16 here, 8 there"
    assert lines[1] == "z: no two rows that are not zero"
    assert lines[2].startswith("a: cosine 0.9") and lines[2].endswith(", 60 rows here, 30 there")
    assert lines[3] == f"1 videos are not in {tmp_path}/theirs.h5: only"
    assert lines[4] == f"1 videos are not in {tmp_path}/ours.h5: x"
    assert "1 of 3 common videos: " in lines[5] and "another number of rows in 1: " in lines[5]


def test_other_features_are_told(tmp_path):
    ours, theirs = ({f"v{n}": walk(n + first) for n in range(5)} for first in (0, 100))
    assert said(tmp_path, ours, theirs)[-1].endswith(": not the same features")
    noisy = {name: rows + 0.2 for name, rows in ours.items()}
    assert said(tmp_path, ours, noisy)[-1].endswith(
        ("the same encoder, other frames or preprocessing", "alike, but not the same")
    )
    with pytest.raises(
        ValueError, match="have no video in common; there are 'v0', 'v1', …, and 'x'"
    ):
        said(tmp_path, ours, {"x": walk(0)})


def test_by_the_command_line(tmp_path):
    ours = write(tmp_path / "ours.h5", {"a": walk(0)})
    result = vmr("extract", ours, "--check", ours)
    assert result.exit_code == 0, result.exception
    assert result.stdout.splitlines()[-1].endswith(": the same features")
    assert str(vmr("extract", ours, ours, "--check", ours).exception) == (
        "--check without --encoder compares one file or folder of features"
    )
    assert str(vmr("extract", ours, "--encoder", "x", "--fps", 1).exception) == (
        "--out FILE is missing"
    )
