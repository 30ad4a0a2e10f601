"""The launch files of `vmr extract`: an array of Slurm, an indexed Job of Kubernetes."""

import os
import subprocess

import pytest
import yaml

from tests.launch.scripts import LAUNCH, call, make_program, printed_commands

ARRAY = {"SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_CPUS_PER_TASK": "8"}
GIVEN = ["out/clip", "my videos", "--encoder", "clip-vit-b32", "--fps", "2"]


def extract_command(shard: int) -> list[str]:
    sharded = ["--num-shards", "4", "--shard", str(shard), "--jobs", "7"]
    return ["extract", *GIVEN[1:], "--out", f"out/clip.shard{shard}.h5", *sharded]


@pytest.mark.parametrize("shard", [0, 3])
def test_a_job_of_the_array_takes_its_shard(tmp_path, shard):
    job = ARRAY | {"SLURM_ARRAY_TASK_ID": str(shard), "SLURM_SUBMIT_DIR": str(tmp_path)}
    (command,) = printed_commands(call("slurm_extract.sbatch", "--dry-run", *GIVEN, **job))
    assert command == [".venv/bin/python", "-m", "vmr_jax.cli", *extract_command(shard)]
    missing = call("slurm_extract.sbatch", *GIVEN, **job)
    assert missing.returncode == 2 and ".venv/bin/python is not there" in missing.stderr
    make_program(tmp_path / ".venv" / "bin", "python", 'printf "%s\\n" "${@:3}"; exit 1')
    run = call("slurm_extract.sbatch", *GIVEN, **job)
    assert run.returncode == 1 and run.stdout.splitlines() == extract_command(shard)


def test_mistakes_are_explained():
    for arguments, variables, message in (
        (["--fps", "2"], {}, "PREFIX is missing"),
        (GIVEN, {}, "not in an array of Slurm"),
        (GIVEN, {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MIN": "1"}, "must begin at 0"),
    ):
        result = call("slurm_extract.sbatch", *arguments, **variables)
        assert result.returncode == 2 and message in result.stderr


def test_the_directives_of_the_array():
    lines = (LAUNCH / "slurm_extract.sbatch").read_text().splitlines()
    options = dict(
        line.removeprefix("#SBATCH --").partition("=")[::2]
        for line in lines
        if line.startswith("#SBATCH ")
    )
    assert options["array"].startswith("0-") and options["ntasks"] == "1"
    assert options["output"] == "slurm-%A_%a.out" and "requeue" in options


@pytest.fixture
def job():
    """The Job as envsubst '$NAME $IMAGE $CLAIM' makes it, which leaves other names alone."""
    text = (LAUNCH / "k8s_extract.yaml").read_text()
    for name, value in {"NAME": "clip", "IMAGE": "host/vmr_jax:1", "CLAIM": "mine"}.items():
        text = text.replace(f"${{{name}}}", value)
    return yaml.safe_load(text)


def test_the_job_has_a_pod_for_each_shard(job):
    assert (job["apiVersion"], job["kind"]) == ("batch/v1", "Job")
    assert job["metadata"]["name"] == "clip"
    spec = job["spec"]
    assert set(spec) == {
        *("completions", "parallelism", "completionMode", "backoffLimitPerIndex"),
        *("podFailurePolicy", "template"),
    }
    pod = spec["template"]["spec"]
    assert set(pod) == {"restartPolicy", "containers", "volumes"}
    (container,), (volume,) = pod["containers"], pod["volumes"]
    assert spec["completionMode"] == "Indexed" and pod["restartPolicy"] == "Never"
    assert spec["completions"] == spec["parallelism"] == int(container["env"][0]["value"])
    assert container["image"] == "host/vmr_jax:1"
    assert volume["persistentVolumeClaim"]["claimName"] == "mine"
    (mount,) = container["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": container["workingDir"]}
    ignored, unreadable = spec["podFailurePolicy"]["rules"]
    assert ignored["action"] == "Ignore" and unreadable["action"] == "FailIndex"
    assert unreadable["onExitCodes"]["containerName"] == container["name"]
    assert unreadable["onExitCodes"]["values"] == [1]


def test_a_pod_s_command_line_takes_its_shard(job, tmp_path):
    make_program(tmp_path, "vmr", 'printf "%s\\n" "$@"')
    (container,) = job["spec"]["template"]["spec"]["containers"]
    environment = {variable["name"]: variable["value"] for variable in container["env"]}
    environment |= {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": "5"}
    told = subprocess.run(
        [*container["command"], *container["args"]], env=environment, capture_output=True, text=True
    )
    assert told.stderr == "" and told.stdout.splitlines() == [
        *("extract", "videos", "--encoder", "clip-vit-b32"),
        *("--weights", "model.safetensors", "--fps", "2", "--out", "clip.shard5.h5"),
        *("--num-shards", "8", "--shard", "5", "--jobs", "7"),
    ]
