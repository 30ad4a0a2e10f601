"""What the command line does before any training."""

import os
import subprocess
import sys

import pytest

from tests.command_line import status_of_main
from vmr_jax import cli

HEAVY = ("jax", "flax", "tensorflow_datasets", "orbax", "matplotlib", "grain", "h5py", "torch")


def run(arguments, root, **environment):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.mark.parametrize(("module", "shown"), [("main", "--workdir"), ("cli", "prepare")])
def test_help_imports_nothing_heavy(request, module, shown):
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['{module}', '--help']\n"
        f"try: runpy.run_module('vmr_jax.{module}', run_name='__main__')\n"
        "except SystemExit: pass\n"
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    output = run(["-c", code], request.config.rootpath).stdout
    assert shown in output and "loaded: []" in output


def test_the_package_never_imports_tensorflow_or_torch(request):
    code = (
        "import sys, importlib, pkgutil, vmr_jax\n"
        "for module in pkgutil.walk_packages(vmr_jax.__path__, 'vmr_jax.'):\n"
        "    importlib.import_module(module.name)\n"
        "print([name for name in ('tensorflow', 'torch') if name in sys.modules])"
    )
    done = run(["-c", code], request.config.rootpath)
    assert done.stdout.strip().endswith("[]"), done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--config is missing: try --config=eva; `vmr configs` lists them"),
        (["--mode=eval"], "needs --restore or --workdir"),
        (["--mode=eval", "--restore=nowhere"], "no checkpoint found there"),
        (["--config=configs/eva.py:a,b"], "vmr prepare"),
        (["--config=configs/eva.py", "--config.precision=float64"], "float32, bfloat16"),
        (["learning_rate=3"], "settings are flags"),
        (
            ["--config=configs/eva.py:tvr"],
            "error: the config's argument is 'tvr'; it must be",
        ),
        (["--config=configs/eva.py", "--config.epoch=3"], "unknown key: 'epoch'. Did you mean"),
        (["--config=configs/eva.py", "--config.epochs=three"], "flag --config.epochs=three"),
        (["--config=configs/none.py:a,b"], "error: no config 'configs/none.py': it is neither a"),
        (["--config", "eva:tvr"], "error: the config's argument is 'tvr'; it must be"),
        (
            ["--config=configs/mmcda.py", "--config.supervision=both"],
            "error: config.supervision='both': use one of source, target",
        ),
        (
            [
                "--config=vlanet",
                "--config.proposals.widths=(4,6)",
                "--config.proposals.widths=(0,)",
            ],
            "error: config.proposals.widths=(0,): it must be at least 1",
        ),
        (["--workdirr=x"], "Unknown command line flag 'workdirr'"),
    ],
)
def test_mistakes_end_in_a_line(request, monkeypatch, tmp_path, capsys, arguments, message):
    monkeypatch.chdir(request.config.rootpath)
    monkeypatch.delenv("VMR_DEBUG", raising=False)
    workdir = [f"--workdir={tmp_path}"] if "--config=configs/eva.py" in " ".join(arguments) else []
    data = [f"--config.data_dir={tmp_path}"] if workdir else []
    assert status_of_main(*arguments, *workdir, *data) == 1
    assert message in capsys.readouterr().err


def test_a_mistake_is_a_line_of_a_process_of_its_own(request):
    arguments = ["-m", "vmr_jax.main", "--config=configs/eva.py:tvr"]
    done = run(arguments, request.config.rootpath)
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "Traceback" in run(arguments, request.config.rootpath, VMR_DEBUG="1").stderr


@pytest.mark.parametrize(
    "error",
    [ValueError("told"), PermissionError("told"), MemoryError("told"), OverflowError("told")],
)
def test_vmr_ends_in_a_line_too(monkeypatch, error):
    def fail():
        raise error

    monkeypatch.setattr(cli, "app", fail)
    monkeypatch.delenv("VMR_DEBUG", raising=False)
    with pytest.raises(SystemExit, match="^vmr: told$"):
        cli.main()
    monkeypatch.setenv("VMR_DEBUG", "1")
    with pytest.raises(type(error)):
        cli.main()
