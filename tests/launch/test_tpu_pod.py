"""tpu_pod.sh against a pretended gcloud, tpu_worker.sh against a pretended python."""

import os
import shlex
import subprocess

import pytest

from tests.launch.scripts import LAUNCH, call, make_program, printed_commands

POD = ["--name", "eva", "--zone", "us-west4-a", "--bucket", "mine"]
QUEUED = ["--type", "v5litepod-16", "--version", "v2-alpha-tpuv5-lite", "--spot"]
WHERE = ["--zone=us-west4-a"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*POD, "--type", "v4-8"], "--type and --version go together"),
        ([*POD, "--delete"], "--spot and --delete need --type"),
        ([*POD[:-1], "gs://mine"], "without gs://"),
        ([*POD, "--", "--workdir=x"], "give --workdir before --"),
        ([*POD, "--workdir", "/x"], "--workdir is a path in the bucket"),
    ],
)
def test_tpu_pod_refuses_what_does_not_fit(arguments, message):
    result = call("tpu_pod.sh", *arguments, "--dry-run") if "--" not in arguments else None
    result = result or call("tpu_pod.sh", *arguments)
    assert result.returncode == 2 and message in result.stderr


def test_tpu_pod_dry_run_of_a_queued_resource():
    main = ["--config=configs/eva.py:tvr,charades_sta", "--config.seed=1"]
    result = call("tpu_pod.sh", *POD, *QUEUED, "--project", "p", "--dry-run", "--", *main)
    where = [*WHERE, "--project=p"]
    queue = ["gcloud", "compute", "tpus", "queued-resources"]
    look = [*queue, "describe", "eva", *where, "--format=value(state.state)"]
    release = [*queue, "delete", "eva", *where, "--force", "--quiet"]
    ssh = ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "eva", *where, "--worker=all"]
    *before, archive, copy, unpack, install, train, folder, collect, again = printed_commands(
        result
    )
    create = [*queue, "create", "eva", "--node-id=eva", *where, "--accelerator-type=v5litepod-16"]
    assert before == [look, [*create, "--runtime-version=v2-alpha-tpuv5-lite", "--spot"], look]
    assert archive[:3] == ["git", "archive", "--format=tar.gz"] and archive[-1] == "HEAD"
    scp = ["gcloud", "compute", "tpus", "tpu-vm", "scp", archive[3].removeprefix("--output=")]
    assert copy == [*scp, "eva:vmr_jax.tar.gz", *where, "--worker=all"]
    assert unpack[:-1] == install[:-1] == train[:-1] == ssh
    worker = "bash vmr_jax/launch/tpu_worker.sh"
    assert "tar -xzf vmr_jax.tar.gz -C vmr_jax" in unpack[-1]
    assert install[-1] == f"--command={worker} install mine"
    remote = shlex.split(train[-1].removeprefix(f"--command={worker} run "))
    assert remote == ["--workdir=/mnt/vmr/runs/eva", *main]
    assert folder == ["mkdir", "-p", "runs/eva"]
    rsync = ["gcloud", "storage", "rsync", "--recursive", "gs://mine/runs/eva", "runs/eva"]
    assert collect == [*rsync, "--project=p"]
    assert again == release and "after a pre-emption" in result.stderr


def test_tpu_pod_dry_run_of_an_existing_vm():
    result = call("tpu_pod.sh", *POD, "--workdir", "runs/mine", "--dry-run")
    commands = printed_commands(result)
    vm = ["gcloud", "compute", "tpus", "tpu-vm"]
    assert commands[0] == [*vm, "describe", "eva", *WHERE, "--format=value(state)"]
    assert all("queued-resources" not in command for command in commands)
    assert "run --workdir=/mnt/vmr/runs/mine --config=configs/eva.py" in commands[5][-1]


@pytest.fixture
def cloud(tmp_path):
    """A pretended gcloud in a copy of the project; returns a function that runs tpu_pod.sh.

    The states that `describe` answers and the exit statuses of training are given in advance.
    """
    project = tmp_path / "project"
    (project / "launch").mkdir(parents=True)
    for name in ("tpu_pod.sh", "tpu_worker.sh"):
        (project / "launch" / name).write_text((LAUNCH / name).read_text())
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *command], cwd=project, check=True, timeout=60)
    make_program(tmp_path / "bin", "sleep", "")
    make_program(
        tmp_path / "bin",
        "gcloud",
        f"""
cd {tmp_path}
next() {{ head -n 1 "$1"; sed -i 1d "$1"; }}
echo "$*" >>calls
case $* in
  *" describe "*) state=$(next states); [[ $state != NONE ]] || exit 1; echo "$state" ;;
  *"tpu_worker.sh run"*) exit "$(next statuses)" ;;
esac
""",
    )

    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def start(states, statuses, *arguments):
        (tmp_path / "states").write_text("".join(f"{state}\n" for state in states))
        (tmp_path / "statuses").write_text("".join(f"{status}\n" for status in statuses))
        result = subprocess.run(
            ["bash", "launch/tpu_pod.sh", *POD, *arguments],
            cwd=project,
            capture_output=True,
            text=True,
            timeout=60,
            env=os.environ
            | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}", "TMPDIR": str(temporary)},
        )
        assert not list(temporary.iterdir()), "the archive stays behind"
        log = tmp_path / "calls"
        kinds = (
            "describe",
            "create",
            "delete",
            "scp",
            "worker.sh install",
            "worker.sh run",
            "rsync",
        )
        calls = [
            next((kind.split()[-1] for kind in kinds if kind in line), "")
            for line in (log.read_text().splitlines() if log.exists() else [])
        ]
        assert not (tmp_path / "states").read_text() and not (tmp_path / "statuses").read_text()
        return result, [kind for kind in calls if kind not in ("", "describe")], project

    return start


def test_tpu_pod_waits_trains_and_collects(cloud):
    states = ["NONE", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"]
    result, calls, _ = cloud(states, [0], *QUEUED)
    assert result.returncode == 0, result.stderr
    assert calls == ["create", "scp", "install", "run", "rsync"]
    assert "give it back with:\ngcloud compute tpus queued-resources delete eva" in result.stderr


def test_tpu_pod_resumes_after_a_pre_emption(cloud):
    states = ["ACTIVE", "SUSPENDING", "SUSPENDED", "ACTIVE"]
    result, calls, _ = cloud(states, [255, 0], *QUEUED, "--delete")
    assert result.returncode == 0, result.stderr
    once = ["scp", "install", "run"]
    assert calls == [*once, "delete", "create", *once, "rsync", "delete"]
    assert "the TPU is gone (SUSPENDING): pre-empted" in result.stderr


def test_tpu_pod_attaches_again_and_goes_on_after_a_signal(cloud):
    result, calls, _ = cloud(["READY"] * 5, [255, 143, 0])
    assert result.returncode == 0, result.stderr
    assert calls == ["scp", "install", "run", "run", "run", "rsync"]
    assert "connection lost: attaching again" in result.stderr


def test_tpu_pod_stops_at_an_error_and_still_collects(cloud):
    result, calls, _ = cloud(["ACTIVE", "ACTIVE"], [1], *QUEUED)
    assert result.returncode == 1
    assert calls == ["scp", "install", "run", "rsync"]
    assert "exit status 1 on a worker" in result.stderr


def test_tpu_pod_says_what_it_lacks(cloud):
    result, calls, project = cloud(["PREEMPTED"], [])
    assert result.returncode == 2 and calls == []
    assert "the TPU VM eva is PREEMPTED, not READY" in result.stderr
    (project / "new.py").write_text("")
    result, *_ = cloud([], [])
    assert "the working tree has changes, but the workers get HEAD" in result.stderr


# tpu_worker.sh


@pytest.fixture
def worker(tmp_path):
    """A copied project whose python exits as its first argument of main says."""
    (tmp_path / "launch").mkdir()
    (tmp_path / "launch" / "tpu_worker.sh").write_text((LAUNCH / "tpu_worker.sh").read_text())
    make_program(tmp_path / ".venv" / "bin", "python", 'echo "$*"; sleep "${4#*=}"; exit "${5#*=}"')

    def start(*arguments):
        return subprocess.Popen(
            ["bash", str(tmp_path / "launch" / "tpu_worker.sh"), "run", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def test_worker_runs_main_and_returns_its_status(worker):
    process = worker("--sleep=0", "--status=143", "a b")
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert output == "-m vmr_jax.main --num_processes=0 --sleep=0 --status=143 a b\n"


def test_worker_attaches_to_the_same_command_only(worker):
    first = worker("--sleep=2", "--status=0")
    assert "--sleep=2" in first.stdout.readline()
    other = worker("--sleep=1", "--status=0")
    assert "this worker is running something else: --sleep=2" in other.communicate(timeout=60)[1]
    assert other.returncode == 2
    first.kill()
    first.wait()
    again = worker("--sleep=2", "--status=0")
    output, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert output.count("vmr_jax.main") == 1 and "attached to the running main" in output
