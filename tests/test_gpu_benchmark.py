"""The script for a GPU: parts of it run on a CPU at toy sizes; every step that it times exists."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from benchmarks import gpu
from benchmarks.step_cases import SYSTEMS, random_batch, tiny
from vmr_jax import models
from vmr_jax.training.steps import Pace

ROOT = Path(gpu.__file__).parents[1]


@pytest.mark.parametrize("name", SYSTEMS)
@pytest.mark.parametrize(
    "of",
    ["full size", pytest.param("toy size", marks=pytest.mark.slow)],  # no user's sizes
)
def test_a_step_of_every_system_can_be_timed(name, of):
    case = SYSTEMS[name]()[0] if of == "full size" else dict(tiny())[name]
    assert case.config.system == name
    progress = Pace(steps_per_epoch=1, epochs=1).progress(jnp.int32(0))

    def loss():
        batch = random_batch(case, 2)
        system = models.make(case.config, case.specs())
        params = system.init(jax.random.key(0), batch)
        return system.loss(params, batch, jax.random.key(1), progress)

    found = jax.eval_shape(loss)
    assert found.terms and all(total.shape == () for total, _ in found.terms.values())


def test_the_parts_that_are_asked_for():
    asked = {"only": "step,search", "systems": "eva,vdi", "precisions": "float32,bfloat16"}
    sizes = {"tiny": False, "videos": 9, "clips": 3, "epochs": 1}
    found = gpu.parts(argparse.Namespace(**asked, **sizes))
    assert [part.name for part in found] == [
        *("eva, float32", "vdi, float32", "eva, bfloat16", "vdi, bfloat16"),
        "search",
    ]
    assert "--compile" in found[0].options and found[-1].options == (
        "--videos",
        "9",
        "--clips",
        "3",
    )


def test_one_command_prints_and_writes_the_whole_table(tmp_path):
    told = tmp_path / "gpu.json"
    sizes = ["--tiny", "--videos", "40", "--clips", "3", "--epochs", "1"]
    asked = ["--only", "step,search,images", "--systems", "vlanet", "--precisions", "bfloat16"]
    command = [sys.executable, "-m", "benchmarks.gpu", *sizes, *asked]
    done = subprocess.run(
        [*command, "--json", told], cwd=ROOT, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    parts = json.loads(told.read_text())["parts"]
    assert list(parts) == ["vlanet, bfloat16", "search", "images"]
    assert all(part["rows"] and not part["failed"] for part in parts.values())
    step, search = parts["vlanet, bfloat16"]["rows"][0], parts["search"]["rows"]
    assert step["share of peak %"] > 0 and step["implementation"] == "vmr_jax"
    assert {row["implementation"] for row in search} >= {"vmr_jax float16", "vmr_jax int8"}
    assert min(row["recall@10 %"] for row in search) > 90
    assert "images/s" in done.stdout and "share of peak %" in done.stdout


def test_a_part_that_fails_does_not_end_the_others(tmp_path):
    bad = gpu.Part("step", "none", "benchmarks.train_step", ("--setups", "no such set-up"))
    told = gpu._run(bad, 300)
    assert told["failed"] and not told["rows"] and "no such set-up" in told["output"]
    assert gpu._run(bad, 0)["failed"]
