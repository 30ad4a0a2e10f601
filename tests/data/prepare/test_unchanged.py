"""`vmr prepare` once more: what is read again, and what is not."""

import os
import subprocess
import sys
from collections import Counter

import h5py
import numpy as np
import pytest

from tests.data.prepare.test_prepare import files, flat, prepare  # noqa: F401  # a fixture
from vmr_jax.data.prepare import prepare as room
from vmr_jax.data.tables.dataset import load_dataset

SAID = "whose sizes and times are as they were"


@pytest.fixture
def reads(monkeypatch):
    """How often each feature was read."""
    counts, open_features = Counter(), room.open_features

    def counting(*arguments, **options):
        source = open_features(*arguments, **options)

        def read(name):
            counts[name] += 1
            return source.read(name)

        return source._replace(read=read)

    monkeypatch.setattr(room, "open_features", counting)
    return counts


@pytest.fixture
def again(monkeypatch, capsys, files, tmp_path):  # noqa: F811
    """Prepare; returns a function that does so again and gives the exit status and what is said."""

    def run(*more):
        status = prepare(monkeypatch, files, tmp_path / "out", *more)
        return status, capsys.readouterr().out

    assert run()[0] == 0
    return run


def test_features_are_read_once_and_then_not_at_all(reads, again, tmp_path):
    assert reads == {"v0": 1, "v1": 1, "v2": 1}
    status, said = again()
    assert status == 0 and SAID in said and set(reads.values()) == {1}
    status, said = again("--overwrite")
    assert status == 0 and SAID not in said and set(reads.values()) == {2}
    assert SAID in again()[1]
    assert load_dataset(tmp_path / "out", "mine", "i3d").splits["train"].query_id


def test_features_with_errors_are_read_once_too(monkeypatch, capsys, reads, files, tmp_path):  # noqa: F811
    np.save(files["--features"] / "v1.npy", np.full((5, 4), np.nan))
    (files["--features"] / "v2.npy").write_bytes(b"damaged")
    assert "nothing was written" in prepare(monkeypatch, files, tmp_path / "out")
    said = capsys.readouterr().out
    assert "features with NaN or infinity" in said and "features cannot be read" in said
    assert set(reads.values()) == {1} and not (tmp_path / "out/mine").exists()


def test_a_changed_content_is_seen_though_size_and_time_stay(again, files):  # noqa: F811
    path = files["--features"] / "v1.npy"
    before = path.stat()
    np.save(path, np.full((5, 4), 2.0))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert "videos-i3d was built from other features or durations" in again()[0]


def test_another_time_alone_costs_one_comparison(reads, again, files):  # noqa: F811
    os.utime(files["--features"] / "v1.npy")
    status, said = again()
    assert status == 0 and SAID not in said and set(reads.values()) == {2}
    assert SAID in again()[1] and set(reads.values()) == {2}


def test_a_file_that_is_removed_or_added_is_seen(again, files):  # noqa: F811
    (files["--features"] / "v9.npy").write_bytes((files["--features"] / "v1.npy").read_bytes())
    assert "features of no annotated video" in again()[1]
    assert SAID in again()[1]
    (files["--features"] / "v1.npy").unlink()
    assert "nothing was written" in again()[0]


@pytest.mark.parametrize("option", ["--annotations", "--glove"])
def test_other_sources_are_seen_too(again, files, option):  # noqa: F811
    path = files[option]
    path = path if path.is_file() else path / "train.jsonl"
    path.write_text(path.read_text().replace("dog", "cat"))
    assert "moments was built from other" in again()[0]


def test_other_options_are_another_command(reads, again):
    status, said = again("--drop-missing")
    assert status == 0 and SAID not in said and set(reads.values()) == {2}
    assert "noun chunks by rules" in again("--noun-chunks", "rules")[1]
    assert SAID in again("--noun-chunks", "rules")[1]
    assert SAID not in again("--feature-name", "c3d")[1]
    assert SAID in again("--feature-name", "c3d")[1]


def test_what_was_written_is_compared_as_well(again, tmp_path):
    table = next((tmp_path / "out/mine/videos-i3d").glob("*array_record*"))
    table.write_bytes(table.read_bytes()[:-1] + b"\1")
    assert "is damaged: its SHA-256 is not that of what was written" in again()[0]
    again("--overwrite")
    assert SAID in again()[1]
    stamp = tmp_path / "out/mine/prepared-i3d.json"
    for damaged in ("", "[]", '{"linked": 3}'):
        stamp.write_text(damaged)
        assert SAID not in again()[1]
    assert SAID in again()[1]


def test_a_file_that_hdf5_refers_to_is_one_of_the_sources(monkeypatch, capsys, files, tmp_path):  # noqa: F811
    with h5py.File(tmp_path / "linked.h5", "w") as file:
        for n in range(3):
            file[f"v{n}"] = np.ones((5, 4))
    with h5py.File(tmp_path / "links.h5", "w") as file:
        for n in range(3):
            file[f"v{n}"] = h5py.ExternalLink("linked.h5", f"v{n}")
    files["--features"] = tmp_path / "links.h5"
    for said in (False, True):
        assert prepare(monkeypatch, files, tmp_path / "out") == 0
        assert (SAID in capsys.readouterr().out) is said
    with h5py.File(tmp_path / "linked.h5", "a") as file:
        file["v0"][0, 0] = 2
    assert "other features or durations" in prepare(monkeypatch, files, tmp_path / "out")


def test_jax_is_not_loaded(files, tmp_path):  # noqa: F811
    options = ["--feature-name", "i3d", "--data-dir", str(tmp_path / "out"), "--name", "mine"]
    command = ["prepare", "jsonl", *map(str, flat(files)), *options]
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom vmr_jax.cli import app\n"
        "for _ in range(2):\n"
        f"    assert CliRunner().invoke(app, {command!r}).exit_code == 0\n"
        "    assert 'jax' not in sys.modules and 'flax' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
