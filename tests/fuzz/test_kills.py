"""What is killed at random times and started again ends equal: `pytest tests/fuzz -m slow`.

Training on both data paths, prepare, index and reproduce, ten kills each; and two processes at once
in each: the second is told who holds the lock, and the first ends as if it were alone.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
import pytest

from tests.conftest import vlanet_settings, write_toy
from tests.search.prem_runs import save_run
from vmr_jax.configs import prem_retriever
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.training.checkpoint import Checkpoints

ROOT = Path(__file__).parents[2]
KILLS, A_CASE = 10, 5  # of each command; of one output, before it is let end
SECONDS = 240  # until a process that hangs fails the test
IMPORTS = 0.4  # of a whole process' time, in which it only starts
# `vmr`, whose index has shards of a few videos, so that a kill falls between two.
VMR = (
    "from vmr_jax.search import index; index._SHARD_CLIPS = 60; from vmr_jax.cli import main; "
    "main()"
)


class Command(NamedTuple):
    """A command that writes into a folder, what it holds a lock on there, and what counts of it."""

    arguments: Callable[[Path], list]
    held: str
    result: Callable[[Path], dict]


def _files(folder: Path) -> dict:
    """The content of all files."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def _prepared(data_dir: Path) -> dict:
    """What is read of a dataset, with all checksums; records hold their fields in any order."""
    data = load_dataset(data_dir, "toy", "f")
    [(_, queries)] = data.splits.items()
    return {
        "files": _files(data_dir).keys(),
        "fingerprint": data.fingerprint,
        "ids": (data.videos.video_id, queries.query_id, queries.sentence),
        "moments": np.concatenate(queries.moments).tobytes(),
        "features": [data.videos.features(n).tobytes() for n in range(len(data.videos.video_id))],
    }


def _run(workdir: Path) -> dict:
    """The numbers of a run: its logs and reports as bytes, its states as their checksums."""
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    sums = {step: checkpoints.meta(step)["checksums"] for step in checkpoints.steps()}
    checkpoints.close()
    logs = {"metrics.jsonl": (workdir / "metrics.jsonl").read_bytes()}
    assert not (workdir / "damaged").exists()
    return {"states": sums} | logs | _files(workdir / "eval")


def _reproduced(folder: Path) -> dict:
    """The tables and the runs behind them."""
    tables = {path.name: path.read_bytes() for path in folder.glob("vlanet_table1.*")}
    return tables | {path.name: _run(path) for path in sorted((folder / "runs").iterdir())}


def _raw(folder: Path) -> Path:
    """Annotations and features of 300 videos."""
    rng = np.random.default_rng(0)
    lines = []
    with h5py.File(folder / "features.h5", "w") as file:
        for n in range(300):
            file[f"v{n}"] = rng.normal(size=(20, 64)).astype(np.float16)
            line = {"qid": n, "query": "a dog runs", "vid": f"v{n}", "duration": 30}
            lines.append(json.dumps(line | {"relevant_windows": [[1, 2 + n % 20]]}))
    (folder / "train.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def commands(tmp_path_factory):
    """The commands, by what they are."""
    made = tmp_path_factory.mktemp
    data, raw = made("data"), _raw(made("raw"))
    for name in ("toy_target", "charades_sta"):
        write_toy(data, name)
    write_toy(data, "toy", videos=60)
    retriever = save_run(made("retriever"), prem_retriever.get_config, data)
    settings = vlanet_settings(data) | {"epochs": 4, "checkpoint_every": 1}

    def train(residency):
        flags = [f"--config.{key}={value}" for key, value in settings.items()]
        flags += [f"--config.data.residency={residency}"]
        train = ["-m", "vmr_jax.main", "--config=vlanet:toy_target", *flags]
        return Command(lambda out: [*train, f"--workdir={out}"], ".lock", _run)

    of_files = ["--annotations", raw, "--features", raw / "features.h5", "--feature-name", "f"]
    prepare = ["-c", VMR, "prepare", "jsonl", *of_files, "--name", "toy", "--data-dir"]
    index = ["-c", VMR, "index", "--videos", "toy", "--checkpoint", retriever, "--out"]
    keys = {k: v for k, v in settings.items() if k != "data_dir"} | {"target.features": "features"}
    sets = [part for key, value in keys.items() for part in ("--set", f"{key}={value}")]
    reproduce = ["-c", VMR, "reproduce", "vlanet", "--table", "1", "--data", data, *sets]
    return {
        "train, device": train("device"),
        "train, host": train("host"),
        "prepare": Command(lambda out: [*prepare, out], "toy/.lock", _prepared),
        "index": Command(lambda out: [*index, out], ".lock", _files),
        "reproduce": Command(
            lambda out: [*reproduce, "--seeds", 1, "--out", out], ".lock", _reproduced
        ),
    }


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """start(command, out): the process. All share compiled programs."""
    cache = tmp_path_factory.mktemp("programs")
    env = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PLATFORMS": "cpu"}

    def started(command: Command, out: Path) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, *map(str, command.arguments(out))],
            cwd=ROOT,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return started


def _finish(process: subprocess.Popen) -> str:
    """Let a process end well; returns what it printed."""
    output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, output[-3000:]
    return output


NAMES = ("train, device", "train, host", "prepare", "index", "reproduce")


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_what_is_killed_ends_equal(name, commands, start, tmp_path):
    command, rng = commands[name], np.random.default_rng([14, len(name)])
    _finish(start(command, tmp_path / "first"))  # compiles
    begin = time.monotonic()
    _finish(start(command, tmp_path / "whole"))
    whole_time = time.monotonic() - begin
    expected = command.result(tmp_path / "whole")
    assert command.result(tmp_path / "first") == expected
    done = early = case = 0
    while done < KILLS:
        out, case = tmp_path / f"case{case}", case + 1
        for _ in range(A_CASE):
            if name == "index" and _is_complete(out):
                break
            process = start(command, out)
            time.sleep(whole_time * rng.uniform(IMPORTS, 1))
            process.send_signal(signal.SIGKILL)
            output, _ = process.communicate(timeout=SECONDS)
            assert process.returncode in (0, -signal.SIGKILL), output[-3000:]
            done, early = done + (process.returncode != 0), early + (process.returncode == 0)
            if process.returncode == 0:
                break
        if not (name == "index" and _is_complete(out)):
            _finish(start(command, out))
        assert command.result(out) == expected, f"{name}, {out}"
    print(f"{name}: {done} kills in {case} outputs, all equal; {early} ended before their kill")


def _is_complete(index: Path) -> bool:
    """Tell an index that is finished: the same command refuses to make it again."""
    path = index / "manifest.json"
    manifest = json.loads(path.read_text()) if path.exists() else {"building": True}
    return manifest["building"] is None and bool(manifest["shards"])


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_second_of_two_at_once_is_told_who_writes(name, commands, start, tmp_path):
    command = commands[name]
    _finish(start(command, tmp_path / "whole"))
    first, lock = start(command, tmp_path / "out"), tmp_path / "out" / command.held
    for _ in range(SECONDS * 100):
        if (lock.exists() and lock.read_text()) or first.poll() is not None:
            break
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # until the second has seen it
    second = start(command, tmp_path / "out")
    output, _ = second.communicate(timeout=SECONDS)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 1, output
    holder = rf"{re.escape(str(lock.parent))} is being written by process {first.pid} on .* since "
    assert re.search(holder, output) and "Traceback" not in output, output
    _finish(first)
    assert command.result(tmp_path / "out") == command.result(tmp_path / "whole")
