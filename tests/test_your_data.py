"""docs/your_data.md: its commands as they stand, its settings, the messages that it explains."""

import ast
import contextlib
import importlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command_line import status_of_main, vmr
from vmr_jax.evaluation.predictions import read_predictions

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/your_data.md").read_text("utf-8")


# The page's shell: what it calls `vmr` and `python -m` is asked of the test, an argument after the
# other, on descriptor 3; the test answers with a status and leaves the output in a file.
SHELL = r"""
exec 3>&1 >said
ask() { printf '%s\0' "$@" >&3; echo >&3; read -r status; cat answer; return "$status"; }
vmr() { ask vmr "$@"; }
python() { if [[ $1 = -m ]]; then ask "${@:2}"; else command python "$@"; fi; }
"""


def answer(program, *arguments) -> int:
    """Run a command of the page in this process, with its output in a file; its exit status."""
    if program == "vmr":
        result = vmr(*arguments)
        status, said = result.exit_code, result.stdout + (f"{result.exception}" * result.exit_code)
    else:
        assert program == "vmr_jax.main"
        with contextlib.redirect_stdout(io.StringIO()) as output:
            status = status_of_main(*arguments)
        said = output.getvalue()
    Path("answer").write_text(said)
    return status or 0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the clone's configs in which all commands of the page were run in order."""
    folder = tmp_path_factory.mktemp("clone")
    (folder / "configs").symlink_to(ROOT / "configs")
    commands = "\n".join(re.findall(r"^```bash\n(.*?)^```", PAGE, re.M | re.S))
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with (
        contextlib.chdir(folder),
        subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", SHELL + commands],
            env=os.environ | {"PATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        ) as shell,
    ):
        for request in shell.stdout:
            shell.stdin.write(f"{answer(*request.split(chr(0))[:-1])}\n")
    said = (folder / "said").read_text()
    assert shell.returncode == 0, said
    assert "jsonl: nothing to report" in said
    assert "clips are left out" not in said and "on other clips" not in said
    return folder


def read(path):
    return json.loads(path.read_text())


def test_the_model_has_learnt(folder):
    report = read(folder / "runs/mine/eval/mine_test/metrics.json")
    model, prior = (report[name]["SVMR/R@1,IoU=0.5"] for name in ("model", "location_prior"))
    assert model > 50 and model > 2 * prior
    assert report["model"]["VCMR/R@1,IoU=0.5"] > 2 * report["location_prior"]["VCMR/R@1,IoU=0.5"]
    scored = read(folder / "runs/mine/score.json")
    assert scored["missing"] == 0 and scored["queries"] == report["queries"]
    assert scored["model"]["R@1,IoU=0.5"] == pytest.approx(model)


def test_new_sentences_are_predicted(folder):
    written = folder / "runs/mine/eval/questions_test"
    assert "model" not in read(written / "metrics.json")
    predictions = read_predictions(written / "predictions.jsonl")
    assert set(predictions) == {"1", "2"}
    for qid, (first, last) in {"1": (36, 48), "2": (6, 14)}.items():
        start, end, _ = predictions[qid][0]
        assert first < (start + end) / 2 < last


def test_the_figure_is_drawn(folder):
    picture = folder / "runs/mine/plots/boundaries_test_0_0.png"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_corpus_is_searched(folder):
    lines = [json.loads(line) for line in (folder / "runs/found.jsonl").read_text().splitlines()]
    assert [line["qid"] for line in lines] == [1, 2]
    for line in lines:
        assert len(line["moments"]) == 10
        assert {moment["video"] for moment in line["moments"]} <= {f"test_{n}" for n in range(12)}


def commands_of_the_table():
    return re.findall(r"`(--config=configs/[^`]+)`", PAGE)


def test_the_table_has_a_command_for_every_kind_of_supervision():
    named = [re.search(r"configs/(\w+)", command)[1] for command in commands_of_the_table()]
    assert {"prem_localizer", "mmcda", "mmn", "vlanet", "eva"} <= set(named)


@pytest.mark.parametrize("command", commands_of_the_table())
def test_settings_of_the_table_are_keys_of_the_config(command):
    first, *settings = shlex.split(command)
    file, argument = first.removeprefix("--config=configs/").split(".py:")
    config = importlib.import_module(f"vmr_jax.configs.{file}").get_config(argument)
    before = config.to_dict()
    for setting in settings:
        key, text = setting.removeprefix("--config.").split("=", 1)
        value = before
        for part in key.split("."):
            value = value[part]
        given = text if isinstance(value, str) else ast.literal_eval(text)
        config.update_from_flattened_dict({key: given})


def test_messages_of_the_page_are_those_of_the_product():
    """First cells of its tables, which quote reports and errors."""
    quoted = re.findall(r"^\| `([^`]+)` \|", PAGE, re.M)
    assert len(quoted) > 12
    texts = [
        node.value
        for file in (ROOT / "vmr_jax").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    assert [message for message in quoted if not any(message in text for text in texts)] == []
