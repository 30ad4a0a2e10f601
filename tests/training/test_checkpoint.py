import json
import os
import subprocess
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from tests.conftest import fill
from vmr_jax.output_files import FullDiskError
from vmr_jax.training import checkpoint
from vmr_jax.training.checkpoint import (
    Checkpoints,
    DamagedCheckpointError,
    _checksum_of_meta,
    checkpoint_directory,
)
from vmr_jax.training.mesh import make_mesh, replicated
from vmr_jax.training.state import TrainState

OPTIMIZER = optax.adam(1e-3)


def state_at(step: int) -> TrainState:
    params = {"layer": {"kernel": jnp.arange(12.0).reshape(3, 4) + step}}
    return TrainState(jnp.int32(step), params, OPTIMIZER.init(params))


def abstract():
    sharding = replicated(make_mesh())
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state_at(0)
    )


def saved(path, steps, metrics=None, **options):
    checkpoints = Checkpoints(path / "checkpoints", **options)
    for step in steps:
        meta = {"config": {"seed": 3}, "chosen_by": options.get("best", "")}
        checkpoints.save(state_at(step), meta, (metrics or {}).get(step))
        checkpoints.wait()
    return checkpoints


def damage(path, step):
    """Overwrite the middle of every array file of a checkpoint."""
    files = [f for f in (path / "checkpoints" / str(step) / "params").rglob("*") if f.is_file()]
    for file in files:
        content = bytearray(file.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 8] = b"\xff" * len(content[middle : middle + 8])
        file.write_bytes(bytes(content))


def test_what_is_saved_comes_back(tmp_path):
    checkpoints = saved(tmp_path, [1, 2, 3])
    assert checkpoints.steps() == [2, 3]
    state = checkpoints.restore_newest(abstract(), pytest.fail)
    jax.tree.map(np.testing.assert_array_equal, state, state_at(3))
    assert checkpoints.meta(2)["config"] == {"seed": 3}
    np.testing.assert_array_equal(
        checkpoints.restore_params(2)["layer"]["kernel"], state_at(2).params["layer"]["kernel"]
    )


def test_reading_leaves_the_directory_alone_and_warns_of_nothing(tmp_path, caplog):
    saved(tmp_path, [1, 2, 3], keep=3).close()
    (tmp_path / "checkpoints" / "4.orbax-checkpoint-tmp").mkdir()  # another process is saving
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    caplog.clear()
    checkpoints = Checkpoints(tmp_path / "checkpoints", keep=1, read_only=True)
    checkpoints.restore_params(checkpoints.best_step())
    checkpoints.close()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


def test_an_empty_directory_has_no_state(tmp_path):
    assert Checkpoints(tmp_path / "checkpoints").restore_newest(abstract(), pytest.fail) is None


def test_the_best_is_kept_beside_the_newest(tmp_path):
    metrics = {
        step: {"val/R": float(value)}
        for step, value in zip((1, 2, 3, 4), (5, 9, 2, 3), strict=True)
    }
    checkpoints = saved(tmp_path, [1, 2, 3, 4], metrics, keep=1, best="val/R")
    assert checkpoints.steps() == [2, 4]
    assert checkpoints.best_step() == 2


def test_a_damaged_newest_falls_back_and_says_so(tmp_path):
    saved(tmp_path, [1, 2]).close()
    damage(tmp_path, 2)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    said = []
    state = checkpoints.restore_newest(abstract(), said.append)
    assert int(state.step) == 1
    assert "checkpoint 2 is damaged" in said[0] and "taking checkpoint 1, the one before" in said[1]
    assert (tmp_path / "damaged" / "2").is_dir()
    checkpoints.save(state_at(2), {})  # the step is free again
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]


def test_a_flipped_number_is_noticed(tmp_path):
    checkpoints = saved(tmp_path, [1])
    fine = checkpoints.meta(1)["checksums"]
    assert set(fine) == {"params", "rest", "meta"} and all(
        isinstance(v, int) for v in fine.values()
    )
    checkpoints.close()
    meta = next((tmp_path / "checkpoints" / "1" / "meta").rglob("metadata"))
    _seal(meta, lambda content: content["checksums"].update(params=fine["params"] ^ 1))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(
        DamagedCheckpointError, match="none of the checkpoints .* another --workdir"
    ):
        checkpoints.restore_newest(abstract(), pytest.fail)
    assert checkpoints.steps() == [1]  # nothing is moved where nothing else is left
    with pytest.raises(DamagedCheckpointError, match="the parameters are damaged"):
        checkpoints.restore_params(1)


def _seal(path, change):
    """Change the meta of a checkpoint, and its checksum with it."""
    content = json.loads(path.read_text())
    change(content)
    content["checksums"]["meta"] = _checksum_of_meta(content)
    path.write_text(json.dumps(content))


def test_a_changed_config_is_noticed(tmp_path):
    saved(tmp_path, [1, 2]).close()
    meta = next((tmp_path / "checkpoints" / "2" / "meta").rglob("metadata"))
    whole = meta.read_text()
    meta.write_text(whole.replace('"seed": 3', '"seed": 7'))
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    with pytest.raises(DamagedCheckpointError, match="checkpoints/2: the meta is damaged"):
        checkpoints.meta(2)
    said = []
    assert int(checkpoints.restore_newest(abstract(), said.append).step) == 1
    assert "checkpoint 2 is damaged" in said[0]
    before = json.loads(whole)  # by a version that wrote no checksum of it
    del before["checksums"]["meta"]
    meta = next((tmp_path / "checkpoints" / "1" / "meta").rglob("metadata"))
    meta.write_text(json.dumps(before))
    assert checkpoints.meta(1)["config"] == {"seed": 3}


def test_a_pipe_among_the_files_is_refused_at_once(tmp_path):
    saved(tmp_path, [1]).close()
    meta = next((tmp_path / "checkpoints" / "1" / "meta").rglob("metadata"))
    meta.unlink()
    os.mkfifo(meta)
    with pytest.raises(
        DamagedCheckpointError, match="the meta cannot be read .*metadata is a pipe"
    ):
        Checkpoints(tmp_path / "checkpoints", read_only=True).best_step()


def test_parameters_that_cannot_be_read(tmp_path):
    saved(tmp_path, [1]).close()
    damage(tmp_path, 1)
    with pytest.raises(DamagedCheckpointError, match="params cannot be read|are damaged"):
        Checkpoints(tmp_path / "checkpoints", read_only=True).restore_params(1)


def test_a_full_disk_is_told_before_a_save(small_disk):
    checkpoints = saved(small_disk, [1])
    fill(small_disk, free=8192)
    said = r"no space is left for \S+/checkpoints: 20,\d+ bytes are needed, [\d,]+ are free; make "
    with pytest.raises(FullDiskError, match=said):
        checkpoints.save(state_at(2), {})
    assert [path.name for path in checkpoints.directory.iterdir()] == ["1"]


def test_a_save_that_fails_leaves_nothing_behind(small_disk, monkeypatch, caplog, capfd):
    monkeypatch.setattr(checkpoint, "need_space", lambda path, size: None)
    checkpoints = saved(small_disk, [1])
    fill(small_disk, free=40_000)
    caplog.clear()
    with pytest.raises(FullDiskError, match=r"no space is left for \S+/checkpoints: more than the"):
        checkpoints.save(state_at(2), {})
        checkpoints.wait()
    assert [path.name for path in checkpoints.directory.iterdir()] == ["1"]
    assert not caplog.records and "Traceback" not in capfd.readouterr().err
    (small_disk / "other").unlink()
    checkpoints.save(state_at(3), {})
    checkpoints.close()
    assert checkpoints.steps() == [1, 3]


def test_a_directory_that_cannot_be_made_hangs_no_save(small_disk):
    checkpoints = saved(small_disk, [1])
    files = sum(1 for _ in small_disk.rglob("*"))
    remount = ["mount", "-o", f"remount,nr_inodes={files + 3}", str(small_disk)]
    subprocess.run(remount, check=True)
    started = time.monotonic()
    with pytest.raises(FullDiskError, match=r"no space is left for \S+/checkpoints"):
        checkpoints.save(state_at(2), {})
        checkpoints.wait()
    assert time.monotonic() - started < 30
    assert [path.name for path in checkpoints.directory.iterdir()] == ["1"]


def test_what_is_no_full_disk_is_said_in_a_line(tmp_path, monkeypatch):
    checkpoints = saved(tmp_path, [1])

    def fail(*_, **__):
        raise RuntimeError("the drive is gone\nmore about it")

    monkeypatch.setattr(checkpoints._manager, "save", fail)
    said = r"/checkpoints: a checkpoint cannot be written \(RuntimeError: the drive is gone\)$"
    with pytest.raises(OSError, match=said):
        checkpoints.save(state_at(2), {})


def test_checkpoints_without_the_metric_are_not_kept_as_best(tmp_path):
    metrics = {1: {"val/R": 5.0}, 4: {"val/R": 3.0}}
    checkpoints = saved(tmp_path, range(1, 7), metrics, keep=1, best="val/R")
    assert checkpoints.steps() == [1, 6] and checkpoints.best_step() == 1


def test_a_checkpoint_is_looked_for_where_users_point(tmp_path):
    saved(tmp_path, [1]).close()
    assert checkpoint_directory(tmp_path) == tmp_path / "checkpoints"
    assert checkpoint_directory(tmp_path / "checkpoints") == tmp_path / "checkpoints"
    with pytest.raises(FileNotFoundError, match="no such path|no checkpoint found there"):
        checkpoint_directory(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no such checkpoint directory"):
        Checkpoints(tmp_path / "nothing", read_only=True)
