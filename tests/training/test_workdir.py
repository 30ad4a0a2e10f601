import json

import pytest
from ml_collections import ConfigDict

from vmr_jax.data.tables.dataset import Dataset
from vmr_jax.training.workdir import claim_workdir, held


def dataset(fingerprint):
    return Dataset("toy", "i3d", {}, None, (), None, fingerprint)


def config(**changes):
    return ConfigDict({"seed": 0, "windows": (4, 8), "data": {"threads": 2}} | changes)


def save_something(workdir):
    """What a first checkpoint leaves."""
    (workdir / "checkpoints" / "20").mkdir(parents=True)


def test_a_new_workdir_keeps_config_and_data(tmp_path):
    claim_workdir(tmp_path / "run", config(), {"target": dataset("a")})
    claim = json.loads((tmp_path / "run" / "config.json").read_text())
    assert claim["config"]["windows"] == [4, 8]
    assert claim["data"]["target"] == {"dataset": "toy", "features": "i3d", "fingerprint": "a"}


def test_the_same_run_may_go_on(tmp_path):
    claim_workdir(tmp_path, config(), {"target": dataset("a")})
    claim_workdir(tmp_path, config(data={"threads": 16}), {"target": dataset("a")})


def test_another_run_is_refused_with_all_differences(tmp_path):
    claim_workdir(tmp_path, config(), {"target": dataset("a")})
    save_something(tmp_path)
    with pytest.raises(ValueError) as refusal:
        claim_workdir(tmp_path, config(seed=7, windows=(4, 6)), {"target": dataset("b")})
    message = str(refusal.value)
    assert "config.seed: was 0, is 7" in message
    assert "config.windows: was [4, 8], is [4, 6]" in message
    assert "data.target.fingerprint: was 'a', is 'b'" in message
    assert "another --workdir" in message


def test_a_damaged_config_is_named_with_what_to_do(tmp_path):
    claim_workdir(tmp_path, config(), {"target": dataset("a")})
    save_something(tmp_path)
    (tmp_path / "config.json").write_text('{"config": {')
    with pytest.raises(ValueError, match=r"config\.json is damaged .* another --workdir"):
        claim_workdir(tmp_path, config(), {"target": dataset("a")})


def test_a_run_without_a_checkpoint_makes_room_for_another(tmp_path):
    claim_workdir(tmp_path, config(seed=3), {"target": dataset("a")})
    claim_workdir(tmp_path, config(seed=7), {"target": dataset("b")})
    assert json.loads((tmp_path / "config.json").read_text())["config"]["seed"] == 7
    save_something(tmp_path)
    with pytest.raises(ValueError, match="config.seed: was 7, is 3"):
        claim_workdir(tmp_path, config(seed=3), {"target": dataset("b")})


def test_a_workdir_is_held_by_one_run(tmp_path):
    with (
        held(tmp_path / "run"),
        pytest.raises(ValueError, match=r"/run is being written by process \d+ on .* stop it$"),
        held(tmp_path / "run"),
    ):
        pass
    with held(tmp_path / "run"):
        pass
