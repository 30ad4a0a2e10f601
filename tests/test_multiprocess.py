"""Two processes of four simulated devices against one process of one device, over loopback."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from tests.conftest import small_settings, write_toy
from tests.search.prem_runs import TOY, save_run
from vmr_jax.configs import prem_retriever
from vmr_jax.training.mesh import StopRequest

ROOT = Path(__file__).parents[1]
TIMEOUT = 240  # seconds for anything that is started here


class Processes:
    """Several processes of one run; none outlives its `with` block."""

    def __init__(self, folder: Path, flags: list[str], count: int = 1, devices: int = 1):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._logs, self._processes = [], []
        for number in range(count):
            log = folder / f"process_{number}_{port}.log"
            self._logs.append(log)
            command = [sys.executable, "-m", "vmr_jax.main", f"--cpu_devices={devices}", *flags]
            if count > 1:
                where = f"--coordinator=127.0.0.1:{port}"
                command += [where, f"--num_processes={count}", f"--process_id={number}"]
            variables = {"JAX_COMPILATION_CACHE_DIR": str(folder / "programs")}
            with log.open("w") as output:
                self._processes.append(
                    subprocess.Popen(
                        command, stdout=output, stderr=output, cwd=ROOT, env=os.environ | variables
                    )
                )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()

    def signal(self, name: str, number: int) -> None:
        getattr(self._processes[number], name)()

    def wait(self) -> list[int]:
        """The exit statuses; where a process does not end, all logs."""
        end = time.monotonic() + TIMEOUT
        try:
            return [p.wait(max(0, end - time.monotonic())) for p in self._processes]
        except subprocess.TimeoutExpired:
            pytest.fail(f"a process did not end within {TIMEOUT} s\n{self.logs()}")

    def wait_for(self, found) -> None:
        """Wait until `found()` is true."""
        end = time.monotonic() + TIMEOUT
        while not found():
            if time.monotonic() > end or any(p.poll() is not None for p in self._processes):
                pytest.fail(f"what was waited for did not come\n{self.logs()}")
            time.sleep(0.1)

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in self._logs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def flags(toy_data):
    """Flags of a small EVA of one epoch of 3 steps."""
    settings = small_settings(toy_data) | {"epochs": 1, "log_every": 1}
    settings |= {"batch_size": 16, "eval.batch_size": 16}
    given = [f"--config.{name}={value}" for name, value in settings.items()]
    return ["--config=configs/eva.py:toy_source,toy_target", *given]


def run(folder: Path, flags: list[str], workdir: Path, count: int = 1, devices: int = 1) -> str:
    """Run to the end; returns the logs."""
    with Processes(folder, [*flags, f"--workdir={workdir}"], count, devices) as processes:
        statuses = processes.wait()
        assert statuses == [0] * count, processes.logs()
        return processes.logs()


@pytest.fixture(scope="module")
def alone(folder, flags):
    """The workdir of one process with one device."""
    run(folder, flags, folder / "alone")
    return folder / "alone"


@pytest.fixture(scope="module", params=["device", "host"])
def together(request, folder, flags):
    """The workdir of two processes with four devices each, for both data paths."""
    workdir = folder / request.param
    logs = run(folder, [*flags, f"--config.data.residency={request.param}"], workdir, 2, 4)
    assert "on 8 cpu devices" in logs
    return workdir


def lines_of(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def report_of(workdir: Path, name: str = "toy_target_test") -> dict:
    return json.loads((workdir / "eval" / name / "metrics.json").read_text())


def check_losses(workdir: Path, alone: Path) -> None:
    """Losses and gradients of three steps are those of another run."""
    expected, found = lines_of(alone), lines_of(workdir)
    assert [line["step"] for line in found] == [line["step"] for line in expected] == [1, 2, 3]
    for ours, theirs in zip(found, expected, strict=True):
        assert set(ours) == set(theirs) and {"train/loss", "train/grad_norm"} < set(ours)
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-5, err_msg=name)


def test_losses_and_gradients_are_those_of_one_device(alone, together):
    check_losses(together, alone)


def test_metrics_are_those_of_one_device(alone, together):
    assert report_of(together) == report_of(alone)


def test_only_the_first_process_writes_predictions(alone, together):
    name = "eval/toy_target_test/predictions.jsonl"
    ours, theirs = ((x / name).read_text().splitlines() for x in (together, alone))
    assert [json.loads(x)["qid"] for x in ours] == [json.loads(x)["qid"] for x in theirs]


def test_a_checkpoint_of_eight_devices_is_evaluated_on_one(together, folder):
    workdir = folder / f"eval_{together.name}"
    run(folder, ["--mode=eval", f"--restore={together}"], workdir)
    assert report_of(workdir) == report_of(together)


def test_a_stopped_and_a_killed_run_go_on_elsewhere(folder, flags):
    workdir = folder / "broken"
    metrics = workdir / "metrics.jsonl"
    settings = {"epochs": 40, "checkpoint_every": 40, "losses.align": False, "losses.domain": False}
    flags = [*flags, f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in settings.items())]

    def steps():
        written = metrics.read_text() if metrics.exists() else ""
        whole = written[: written.rfind("\n") + 1].splitlines()
        return [json.loads(line)["step"] for line in whole]

    def done():
        return max(steps(), default=0)

    with Processes(folder, flags, 2) as processes:
        processes.wait_for(lambda: done() > 1)
        processes.signal("terminate", 1)
        assert processes.wait() == [143, 143], processes.logs()
        assert "stopped by a signal; saved step" in processes.logs()
    saved = max(int(x.name) for x in (workdir / "checkpoints").iterdir() if x.name.isdigit())
    assert saved == done() < 120

    with Processes(folder, flags, 2) as processes:
        processes.wait_for(lambda: done() > saved)
        processes.signal("kill", 0)
        killed, partner = processes.wait()
        assert killed == -9 and partner not in (0, 143), processes.logs()
        assert f"at step {saved}" in processes.logs()

    logs = run(folder, flags, workdir)
    assert f"at step {saved}" in logs
    assert steps() == list(range(1, 121))
    assert report_of(workdir)["checkpoint"]["step"] == 120


def test_a_localizer_mines_trains_and_searches_as_on_one_device(folder):
    """The retriever's search is shared by both processes."""
    write_toy(folder / "data", "toy")
    first = save_run(folder / "retriever", prem_retriever.get_config, folder / "data")
    settings = TOY | {"data_dir": folder / "data", "first.checkpoint": first, "first.top": 10}
    settings |= {"epochs": 1, "log_every": 1, "batch_size": 16, "negatives": 2, "lc.enabled": False}
    flags = [f"--config.{name}={value}" for name, value in settings.items()]
    flags = ["--config=configs/prem_localizer.py", *flags]
    alone, together = folder / "localizer_alone", folder / "localizer_together"
    run(folder, flags, alone)
    assert "on 2 cpu devices" in run(folder, flags, together, 2)
    check_losses(together, alone)
    assert report_of(together, "toy_test") == report_of(alone, "toy_test")
    mined = [np.load(workdir / "candidates.npz") for workdir in (alone, together)]
    np.testing.assert_array_equal(*(archive["candidates"] for archive in mined))


def test_no_number_is_left_out_when_processes_agree_on_stopping(monkeypatch):
    asked = []
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(
        multihost_utils,
        "reached_preemption_sync_point",
        lambda number: asked.append(number) or number == 3,
    )
    with StopRequest() as stop:
        assert [stop.wanted() for _ in range(3)] == [False, False, True]
    assert asked == [1, 2, 3]


def test_processes_need_a_workdir_that_they_share(folder, flags):
    with Processes(folder, flags, 2) as processes:
        assert processes.wait() == [1, 1], processes.logs()
        assert processes.logs().count("error: --workdir is missing: a run of several") == 2
