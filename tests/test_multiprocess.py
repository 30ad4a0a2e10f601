"""Two processes of simulated devices against one process of one device, over loopback."""

import functools
import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from jax.experimental import multihost_utils

from tests.command_line import status_of_main
from tests.conftest import small_settings, vlanet_settings, write_toy
from tests.search.prem_runs import TOY, save_run
from vmr_jax.configs import prem_retriever
from vmr_jax.training.mesh import StopRequest

ROOT = Path(__file__).parents[1]
TIMEOUT = 240  # seconds for anything that is started here


class Processes:
    """Two processes of one run; none outlives its `with` block.

    `signals` maps a process to a signal and the step whose metrics it has written then.
    """

    def __init__(self, folder: Path, flags: list[str], devices: int = 1, signals=None):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._logs, self._processes = [], []
        for number in range(2):
            log = folder / f"process_{number}_{port}.log"
            self._logs.append(log)
            module = ["vmr_jax.main"]
            if signals and number in signals:
                module = ["tests.training.interrupted_run", *map(str, signals[number])]
            where = [f"--coordinator=127.0.0.1:{port}", "--num_processes=2"]
            where += [f"--process_id={number}", f"--cpu_devices={devices}"]
            with log.open("w") as output:
                self._processes.append(
                    subprocess.Popen(
                        [sys.executable, "-m", *module, *flags, *where],
                        stdout=output,
                        stderr=output,
                        cwd=ROOT,
                    )
                )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self._processes:
            process.kill()
            process.wait()

    def wait(self) -> list[int]:
        """The exit statuses; where a process does not end, all logs."""
        end = time.monotonic() + TIMEOUT
        try:
            return [p.wait(max(0, end - time.monotonic())) for p in self._processes]
        except subprocess.TimeoutExpired:
            pytest.fail(f"a process did not end within {TIMEOUT} s\n{self.logs()}")

    def logs(self) -> str:
        return "\n".join(f"--- {log.name}\n{log.read_text()}" for log in self._logs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def flags(toy_data):
    """Flags of a small system, for one epoch of 3 steps."""
    changes = {"epochs": 1, "log_every": 1, "batch_size": 16, "eval.batch_size": 16}
    settings = {
        "vlanet:toy_target": vlanet_settings(toy_data) | changes,
        "eva:toy_source,toy_target": small_settings(toy_data)
        | changes
        | {"losses.align": False, "losses.domain": False},  # less to compile
    }
    return {
        config.partition(":")[0]: [f"--config={config}", *as_flags(keys)]
        for config, keys in settings.items()
    }


def as_flags(settings: dict) -> list[str]:
    return [f"--config.{name}={value}" for name, value in settings.items()]


def run(folder: Path, flags: list[str], workdir: Path, devices: int = 1) -> str:
    """Run two processes to the end; returns the logs."""
    with Processes(folder, [*flags, f"--workdir={workdir}"], devices) as processes:
        assert processes.wait() == [0, 0], processes.logs()
        return processes.logs()


def run_alone(flags: list[str], workdir: Path) -> Path:
    """Run this process, which has one device, to the end; returns the workdir."""
    assert status_of_main(*flags, f"--workdir={workdir}") is None
    return workdir


@pytest.fixture(scope="module")
def alone(folder, flags):
    """The workdir of one process with one device, for a system's name."""
    return functools.cache(lambda name: run_alone(flags[name], folder / f"{name}_alone"))


RUNS = {"vlanet_device": 4, "vlanet_host": 4, "eva_device": 1}  # devices of each process
# The localizer's test takes many devices and one data path, the broken run's the other.
FURTHER = [pytest.param(name, marks=pytest.mark.slow) for name in RUNS]


@pytest.fixture(scope="module", params=FURTHER)
def together(request, folder, flags):
    """The workdir of two processes, for both data paths, and of EVA, which has two domains."""
    system, residency = request.param.split("_")
    settings = [*flags[system], f"--config.data.residency={residency}"]
    logs = run(folder, settings, folder / request.param, RUNS[request.param])
    assert f"on {2 * RUNS[request.param]} cpu devices" in logs
    return folder / request.param


@pytest.fixture
def partner(alone, together):
    """The workdir of one process with one device that did the same."""
    return alone(together.name.split("_")[0])


def lines_of(workdir: Path) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def report_of(workdir: Path, name: str) -> dict:
    return json.loads((workdir / "eval" / name / "metrics.json").read_text())


def check_losses(workdir: Path, alone: Path) -> None:
    """Losses and gradients of three steps are those of another run."""
    expected, found = (lines_of(path)[:3] for path in (alone, workdir))
    assert [line["step"] for line in found] == [line["step"] for line in expected] == [1, 2, 3]
    for ours, theirs in zip(found, expected, strict=True):
        assert set(ours) == set(theirs) and {"train/loss", "train/grad_norm"} < set(ours)
        for name, value in theirs.items():
            np.testing.assert_allclose(ours[name], value, rtol=1e-5, err_msg=name)


def check_predictions(workdir: Path, alone: Path, data: str) -> None:
    """The report is that of another run; predictions are written by the first process only."""
    assert report_of(workdir, data) == report_of(alone, data)
    name = f"eval/{data}/predictions.jsonl"
    ours, theirs = ((x / name).read_text().splitlines() for x in (workdir, alone))
    assert [json.loads(x)["qid"] for x in ours] == [json.loads(x)["qid"] for x in theirs]


def check_evaluation(workdir: Path, out: Path, data: str) -> None:
    """One process with one device has the same report of the checkpoint."""
    run_alone(["--mode=eval", f"--restore={workdir}"], out)
    assert report_of(out, data) == report_of(workdir, data)


def test_losses_and_gradients_are_those_of_one_device(partner, together):
    check_losses(together, partner)


def test_predictions_are_those_of_one_device(partner, together):
    check_predictions(together, partner, "toy_target_test")


def test_a_checkpoint_of_many_devices_is_evaluated_on_one(together, folder):
    check_evaluation(together, folder / f"eval_{together.name}", "toy_target_test")


def test_a_stopped_and_a_killed_run_go_on_elsewhere(folder, flags, capfd):
    workdir = folder / "broken"
    flags = [*flags["vlanet"], *as_flags({"epochs": 8, "checkpoint_every": 8})]  # 24 steps
    of_both = [*flags, f"--workdir={workdir}"]

    def steps():
        return [line["step"] for line in lines_of(workdir)]

    with Processes(folder, of_both, signals={1: (int(signal.SIGTERM), 2)}) as processes:
        assert processes.wait() == [143, 143], processes.logs()
        assert "stopped by a signal; saved step" in processes.logs()
    saved = max(int(x.name) for x in (workdir / "checkpoints").iterdir() if x.name.isdigit())
    assert saved == max(steps()) < 21

    with Processes(folder, of_both, signals={0: (int(signal.SIGKILL), saved + 2)}) as processes:
        killed, partner = processes.wait()
        assert killed == -9 and partner not in (0, 143), processes.logs()
        assert f"at step {saved}" in processes.logs()
    assert max(steps()) > saved

    run_alone(flags, workdir)
    assert f"at step {saved}" in capfd.readouterr().out
    assert steps() == list(range(1, 25))
    assert report_of(workdir, "toy_target_test")["checkpoint"]["step"] == 24
    check_losses(workdir, run_alone(flags, folder / "unbroken"))


def test_a_localizer_mines_trains_and_searches_as_on_one_device(folder):
    """The retriever's search is shared by both processes, which read batches from the host."""
    write_toy(folder / "data", "toy")
    sizes = TOY | {"target.subtitles": "", "modalities": ("image",)}  # less to compile
    first = save_run(folder / "retriever", prem_retriever.get_config, folder / "data", **sizes)
    settings = sizes | {"data_dir": folder / "data", "first.checkpoint": first, "first.top": 10}
    settings |= {"epochs": 1, "log_every": 1, "batch_size": 16, "negatives": 2, "lc.enabled": False}
    flags = ["--config=prem_localizer", *as_flags(settings)]
    alone = run_alone(flags, folder / "localizer_alone")
    together = folder / "localizer_together"
    streamed = [*flags, "--config.data.residency=host"]
    assert "on 4 cpu devices" in run(folder, streamed, together, devices=2)
    assert [line["step"] for line in lines_of(together)] == [1, 2, 3]
    check_losses(together, alone)
    check_predictions(together, alone, "toy_test")
    check_evaluation(together, folder / "localizer_evaluated", "toy_test")
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
    with Processes(folder, flags["vlanet"]) as processes:
        assert processes.wait() == [1, 1], processes.logs()
        assert processes.logs().count("error: --workdir is missing: a run of several") == 2
