"""A run that is killed and started again ends with the same parameters, bit for bit."""

import functools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from tests.conftest import small_settings
from vmr_jax.training.checkpoint import Checkpoints

EPOCHS = 12
SECONDS = 240  # until a run that hangs fails the test
# Both domains are read, but the program is small: what it computes does not matter here.
SMALL = {"epochs": EPOCHS, "losses.align": False, "losses.domain": False}


def command(workdir, toy_data, residency, **changes):
    settings = small_settings(toy_data) | SMALL | {"data.residency": residency} | changes
    flags = [f"--config.{key}={value}" for key, value in settings.items()]
    config = "--config=configs/eva.py:toy_source,toy_target"
    return [sys.executable, "-m", "vmr_jax.main", config, f"--workdir={workdir}", *flags]


@pytest.fixture(scope="module")
def start(request, tmp_path_factory):
    """Start the command in the background; what is left of it ends with the tests."""
    started, logs = [], tmp_path_factory.mktemp("logs")

    def run(arguments, **environment):
        log = (logs / f"log{len(started)}").open("w+")
        process = subprocess.Popen(
            arguments,
            cwd=request.config.rootpath,
            env=os.environ | {"JAX_PLATFORMS": "cpu"} | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        process.log = log
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def output_of(process) -> str:
    process.log.seek(0)
    return process.log.read()


def finish(process, code: int = 0) -> str:
    process.wait(timeout=SECONDS)
    assert process.returncode == code, output_of(process)
    return output_of(process)


def wait_until(process, condition):
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert process.poll() is None, output_of(process)
        assert time.monotonic() < deadline, "the run hangs"
        time.sleep(0.002)


def logged_steps(workdir):
    path = workdir / "metrics.jsonl"
    return len(path.read_text().splitlines()) if path.exists() else 0


def final_state(workdir):
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    step = checkpoints.steps()[-1]
    return step, checkpoints.meta(step)["checksums"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory, toy_data, start):
    """The workdir of a run that nothing stopped, by its data path."""

    @functools.cache
    def run(residency):
        workdir = tmp_path_factory.mktemp("whole")
        finish(start(command(workdir, toy_data, residency)))
        return workdir

    return run


@pytest.mark.parametrize("residency", ["device", "host"])
def test_killed_at_several_moments(tmp_path, toy_data, start, whole, residency):
    whole, broken = whole(residency), tmp_path / "broken"
    moments = {
        "before the first step": lambda: (broken / "config.json").exists(),
        "amid the steps": lambda: logged_steps(broken) >= 5,
        "amid a save": lambda: (
            logged_steps(broken) >= 10 and any((broken / "checkpoints").glob("*tmp*"))
        ),
        "late": lambda: logged_steps(broken) >= 18,
    }
    for moment in moments.values():
        process = start(command(broken, toy_data, residency))
        wait_until(process, moment)
        process.send_signal(signal.SIGKILL)
        process.wait()
    output = finish(start(command(broken, toy_data, residency)))
    assert f"resuming {broken} at step" in output
    assert final_state(broken) == final_state(whole)
    assert final_state(whole)[0] == 6 * EPOCHS
    lines = [(run / "metrics.jsonl").read_text().splitlines() for run in (whole, broken)]
    assert [json.loads(x) for x in lines[0]] == [json.loads(x) for x in lines[1]]
    name = "eval/toy_target_test/predictions.jsonl"
    assert (broken / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_the_same_command_goes_on(number, tmp_path, toy_data, start, whole):
    whole, broken = whole("device"), tmp_path / "broken"
    changes = {"checkpoint_every": 100}  # so that only the signal can have saved
    process = start(command(broken, toy_data, "device", **changes))
    wait_until(process, lambda: logged_steps(broken) >= 7)
    process.send_signal(number)
    output = finish(process, code=143)
    assert "stopped by a signal; saved step" in output and "Traceback" not in output
    step, _ = final_state(broken)
    assert 0 < step < 6 * EPOCHS
    output = finish(start(command(broken, toy_data, "device", **changes)))
    assert f"resuming {broken} at step {step}" in output
    assert final_state(broken) == final_state(whole)


def test_an_interruption_before_the_steps_ends_in_one_line(tmp_path, toy_data, start):
    process = start(command(tmp_path, toy_data, "device"))
    wait_until(process, (tmp_path / "config.json").exists)
    process.send_signal(signal.SIGINT)
    last = finish(process, code=130).rstrip().splitlines()[-1]
    assert last == "interrupted: the same command goes on from the last checkpoint"
    assert "Traceback" not in output_of(process)


def test_a_mistake_ends_in_one_line(tmp_path, toy_data, start):
    process = start(command(tmp_path, toy_data, "device", share="('self3',)"))
    output = finish(process, code=1)
    assert "self3" in output and "Traceback" not in output
    assert output.strip().count("\n") <= 3


def test_a_second_start_compiles_nothing(tmp_path, toy_data, start):
    def programs():
        return {path.name for path in cache.iterdir() if path.name.endswith("-cache")}

    cache = tmp_path / "programs"
    setting = {"JAX_COMPILATION_CACHE_DIR": str(cache)}
    setting |= {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    finish(start(command(tmp_path / "first", toy_data, "device", epochs=1), **setting))
    compiled = programs()
    assert any("scan" in name for name in compiled)
    finish(start(command(tmp_path / "second", toy_data, "device", epochs=1), **setting))
    assert programs() == compiled
