"""A run that is killed and started again ends with the same parameters, bit for bit."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import status_of_main
from tests.conftest import vlanet_settings
from vmr_jax.training.checkpoint import Checkpoints

ROOT = Path(__file__).parents[2]
SECONDS = 240  # until a run that hangs fails the test
EPOCHS, STEPS_AN_EPOCH = 4, 6


@pytest.fixture(scope="module")
def arguments(toy_data):
    """arguments(workdir, data path): those of a small VLANet."""

    def of(workdir, residency="device"):
        changes = {"epochs": EPOCHS, "checkpoint_every": 1, "data.residency": residency}
        settings = vlanet_settings(toy_data) | changes
        settings["target.normalize"] = "sqrt_standardize"
        flags = [f"--config.{key}={value}" for key, value in settings.items()]
        return ["--config=vlanet:toy_target", f"--workdir={workdir}", *flags]

    return of


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """start(module, arguments): run it as a process of its own; its exit status and output.

    The processes share a cache of compiled programs with nobody else, `start.cache`.
    """

    def run(module, *given):
        handler = signal.getsignal(signal.SIGINT)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what is ignored is inherited
        try:
            done = subprocess.run(
                [sys.executable, "-m", module, *map(str, given)],
                cwd=ROOT,
                env=os.environ | {"JAX_COMPILATION_CACHE_DIR": str(run.cache)},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=SECONDS,
            )
        finally:
            signal.signal(signal.SIGINT, handler)
        return done.returncode, done.stdout

    run.cache = tmp_path_factory.mktemp("programs")
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory, arguments, start):
    """The workdirs of runs that nothing stopped, by their data path."""
    workdirs = {path: tmp_path_factory.mktemp(path) for path in ("device", "host")}
    status, output = start("vmr_jax.main", *arguments(workdirs["device"]))
    assert status == 0, output
    assert status_of_main(*arguments(workdirs["host"], "host")) is None
    return workdirs


def final_state(workdir):
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    step = checkpoints.steps()[-1]
    return step, checkpoints.meta(step)["checksums"]


def lines_of(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


SIGNALS = {
    "device": [
        (signal.SIGINT, "before the steps", 130),
        (signal.SIGTERM, 6, 143),
        (signal.SIGKILL, "amid a save", -9),
    ],
    "host": [(signal.SIGINT, 18, 143)],
}


@pytest.mark.parametrize("residency", ["device", "host"])
def test_the_same_command_goes_on_after_signals(
    residency, tmp_path, arguments, start, whole, capfd
):
    whole, broken = whole[residency], tmp_path / "broken"
    given = arguments(broken, residency)
    for number, moment, expected in SIGNALS[residency]:
        status, output = start("tests.training.interrupted_run", int(number), moment, *given)
        assert status == expected, output
        assert "Traceback" not in output
        if moment == "before the steps":
            assert (broken / "config.json").exists() and not (broken / "metrics.jsonl").exists()
        if status == 130:
            last = output.rstrip().splitlines()[-1]
            promise = "the same command goes on from the last checkpoint, if there is one"
            assert last == f"interrupted: {promise}"
        if status == 143:  # the piece of three steps after `moment` was on its way
            assert f"stopped by a signal; saved step {moment + 3}: the same" in output
            saved, _ = final_state(broken)
            assert saved == moment + 3 and saved % STEPS_AN_EPOCH
        if moment == "amid a save":
            assert any((broken / "checkpoints").glob("*tmp*"))
    assert status_of_main(*given) is None
    assert f"resuming {broken} at step" in capfd.readouterr().out
    assert final_state(broken) == final_state(whole)
    assert final_state(whole)[0] == STEPS_AN_EPOCH * EPOCHS
    assert lines_of(broken) == lines_of(whole)
    name = "eval/toy_target_test/predictions.jsonl"
    assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_a_mistake_ends_in_one_line(tmp_path, arguments, capfd):
    assert status_of_main(*arguments(tmp_path), "--config.cascade=('q2x',)") == 1
    output = "".join(capfd.readouterr())
    assert "q2x" in output and "Traceback" not in output
    assert output.strip().count("\n") <= 3


def test_a_second_start_compiles_nothing(tmp_path, arguments, start, whole):
    def programs():
        return {path.name for path in start.cache.iterdir() if path.name.endswith("-cache")}

    compiled = programs()
    assert any("loop" in name for name in compiled)
    status, output = start("vmr_jax.main", *arguments(tmp_path))
    assert status == 0, output
    assert programs() == compiled
    assert final_state(tmp_path) == final_state(whole["device"])
