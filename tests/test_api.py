"""What `import vmr_jax as vmr` gives: nothing until it is used, runs from Python, the examples."""

import json
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from ml_collections import ConfigDict

import vmr_jax as vmr
from tests.command_line import vmr as command
from tests.conftest import small_settings, write_toy
from tests.search.prem_runs import save_run
from vmr_jax.config_files import load_config
from vmr_jax.configs import prem_localizer, prem_retriever, vlanet
from vmr_jax.data.tables.dataset import load_dataset
from vmr_jax.overrides import set_key

ROOT = Path(__file__).parents[1]
VLANET = {"epochs": 2, "proposals.widths": (2, 4), "proposals.stride": 2}
OF_EVA = ("source", "target.windows", "target.stride")


@pytest.fixture(scope="module")
def overrides(toy_data):
    """Keyword arguments that make a VLANet small."""
    settings = small_settings(toy_data) | VLANET
    return {k.replace(".", "__"): v for k, v in settings.items() if not k.startswith(OF_EVA)}


@pytest.fixture(scope="module")
def run(tmp_path_factory, overrides):
    """A workdir, and the report of the training that wrote it."""
    workdir = tmp_path_factory.mktemp("vlanet")
    return workdir, vmr.train("vlanet:toy_target", workdir, quiet=True, **overrides)


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """What `vmr.train` would train, without doing it: (config, workdir, restore) of each call."""
    calls = []

    def record(config, workdir, restore, console):
        calls.append((config, workdir, restore))
        return {"model": {}}

    monkeypatch.setattr("vmr_jax.training.loop.train", record)
    monkeypatch.chdir(tmp_path)
    return calls


def metrics_of(workdir, split="test"):
    return json.loads((workdir / f"eval/toy_target_{split}/metrics.json").read_text())


def test_the_names_are_listed_and_lead_somewhere():
    names = {
        "Corpus",
        "TrainedCorpus",
        "Description",
        "Moment",
        "Predictor",
        "Report",
        "evaluate",
        "load",
        "score",
    }
    assert set(dir(vmr)) == names | {"find", "train", "__version__"} == set(vmr.__all__)
    for name in names | {"find", "train"}:
        found = getattr(vmr, name)
        assert found.__name__ == name and found.__doc__
    with pytest.raises(AttributeError, match="module 'vmr_jax' has no attribute 'trian'"):
        vmr.trian  # noqa: B018
    with pytest.raises(ImportError):
        from vmr_jax import predictt  # noqa: F401


def test_the_import_loads_nothing():
    code = (
        "import sys, time\n"
        "before = time.process_time()\n"
        "import vmr_jax\n"
        "assert time.process_time() - before < 0.1\n"
        "vmr_jax.__version__, dir(vmr_jax)\n"
        "print([n for n in ('jax', 'numpy', 'rich', 'ml_collections') if n in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr


def test_a_report_is_what_the_workdir_holds(run):
    workdir, report = run
    assert isinstance(report, vmr.Report)
    assert report.values == metrics_of(workdir) and report.metrics == report.values["model"]
    head, *rows = [re.findall(r"[\w@,=.]+", line) for line in report.table().splitlines()]
    assert not head
    assert rows[0] == ["percent", "vlanet", "linear_match", "location_prior", "random"]
    assert [row[0] for row in rows if len(row) == 5][1:] == list(report.metrics)
    assert ["mIoU", *(f"{report.values[n]['mIoU']:.2f}" for n in ("model", *rows[0][2:]))] in rows
    assert vmr.Report({"system": "eva"}).metrics == {}
    assert "eva" in vmr.Report({"system": "eva"}).table()


def test_a_table_is_text_in_notebooks_and_where_colours_are_forced(monkeypatch):
    report = vmr.Report({"model": {"mIoU": 50.0}})
    expected = report.table()
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert report.table() == expected and "50.00" in expected and "\x1b" not in expected


def test_a_finished_run_is_reported_again(run, overrides, capsys):
    workdir, report = run
    assert not capsys.readouterr().out
    config = load_config("vlanet:toy_target")
    given = {key: value for key, value in overrides.items() if key != "epochs"}
    config.epochs = 2
    before = config.to_dict()
    assert vmr.train(ConfigDict(config), workdir, quiet=True, **given) == report
    assert config.to_dict() == before and not capsys.readouterr().out


def test_an_evaluation_is_of_the_run_or_of_other_data(run, overrides, capsys):
    workdir, report = run
    assert vmr.evaluate(workdir) == report
    assert "vlanet" in capsys.readouterr().out
    other = vmr.evaluate(workdir, quiet=True, target__eval_split="val")
    assert other.values["split"] == "val" and other.values == metrics_of(workdir, "val")
    named = vmr.evaluate(
        workdir, "vlanet:toy_target", quiet=True, **overrides | {"target__eval_split": "val"}
    )
    assert named == other and not capsys.readouterr().out


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"epoch": 3}, "cannot set epoch=3: unknown key; did you mean epochs"),
        ({"optimizer__lr": 0.1}, "cannot set optimizer.lr=0.1: unknown key"),
        ({"epochs": "three"}, "cannot set epochs='three', of type str: epochs is of type int, 50"),
    ],
)
def test_keys_that_cannot_be_set(trained, keys, message):
    with pytest.raises(ValueError, match=message):
        vmr.train("vlanet:toy_target", **keys)
    with pytest.raises(ValueError, match=message):
        vmr.train(ConfigDict(vlanet.get_config("toy_target").to_dict()), **keys)  # not locked
    assert not trained


def test_keys_that_an_evaluation_cannot_take(run):
    for keys, message in (
        ({"target__eval_splt": "val"}, "target.eval_splt='val': unknown key; did you mean target."),
        ({"epochs": 5}, "epochs=5 has no effect on an evaluation: .* trained with 2"),
    ):
        with pytest.raises(ValueError, match=message):
            vmr.evaluate(run[0], quiet=True, **keys)
    with pytest.raises(ValueError, match="holds a checkpoint of vlanet, but --config is of mmn"):
        vmr.evaluate(run[0], "mmn", quiet=True)


def test_what_a_call_trains(trained):
    vmr.train("eva:a,b", quiet=True)
    config = prem_localizer.get_config()
    vmr.train(config, "there", restore=Path("other"), clip_seconds=2.0, quiet=True)
    (eva, default, _), (prem, *there) = trained
    assert (eva.source.dataset, eva.target.dataset) == ("a", "b")
    assert re.fullmatch(r"runs/eva-\d{8}-\d{6}", str(default))
    assert there == [Path("there"), "other"]
    assert prem.clip_seconds == prem.first.retriever.clip_seconds == 2.0  # one names the other
    assert config.clip_seconds == 1.5
    with pytest.raises(FileNotFoundError, match="no config 'evaa': .* Did you mean eva"):
        vmr.train("evaa")


def test_a_run_that_is_stopped_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr("vmr_jax.training.loop.train", lambda *arguments: None)
    with pytest.raises(KeyboardInterrupt, match="stopped before its end; the same call goes on"):
        vmr.train("vlanet", tmp_path)


@pytest.fixture(scope="module")
def scored(run, toy_data, tmp_path_factory):
    """A run's predictions.jsonl, and the labels of its test split as JSONL."""
    labels = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    dataset = load_dataset(toy_data, "toy_target", "features")
    table, videos = dataset.splits["test"], dataset.videos
    with labels.open("w") as file:
        for row, video in enumerate(table.video):
            line = {
                "qid": table.query_id[row],
                "query": table.sentence[row],
                "vid": videos.video_id[video],
                "duration": float(videos.duration[video]),
                "relevant_windows": table.moments[row].tolist(),
            }
            file.write(json.dumps(line) + "\n")
    return run[0] / "eval/toy_target_test/predictions.jsonl", labels


def test_a_score_is_the_evaluations(run, scored):
    report = vmr.score(*scored)
    assert report.values["queries"] == 10 and report.shown
    assert report.metrics == pytest.approx(run[1].metrics)
    table = report.table()
    assert "model" in table and "location_prior" not in table  # there is no training split
    with pytest.raises(ValueError, match="has no split 'dev' here"):
        vmr.score(*scored, split="dev")


def test_moments_from_python(run):
    rng = np.random.default_rng(0)
    found = vmr.load(run[0]).predict(rng.normal(size=(9, 8)), "a red door", duration=20.0, top_k=2)
    assert len(found) == 2 and all(isinstance(moment, vmr.Moment) for moment in found)


@pytest.fixture
def here(run, scored, overrides, tmp_path, monkeypatch):
    """A directory in which the examples run: `vlanet` names the small run, which is there."""
    settings = load_config("vlanet:toy_target")
    for key, value in overrides.items():
        set_key(settings, key.replace("__", "."), value, "vlanet")
    monkeypatch.setattr("vmr_jax.api.load_config", lambda name: {"vlanet": settings}[name])
    shutil.copytree(run[0], tmp_path / "runs/vlanet")
    for path in scored:
        shutil.copy(path, tmp_path)
    np.save(tmp_path / "clips.npy", np.random.default_rng(0).normal(size=(9, 8)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _examples_of_a_run():
    """That of the package's docstring, and README's, which trains longer."""
    indented = re.findall(r"(?:^    .*\n+)+", vmr.__doc__, re.MULTILINE)
    (readme,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    return {"package": textwrap.dedent("".join(indented)), "README": readme}


@pytest.mark.parametrize("place", ["package", "README"])
def test_the_example_of_a_run_runs(here, capsys, place):
    example = _examples_of_a_run()[place].replace("epochs=60", "epochs=2")
    assert "vmr.train(" in example and ".predict(" in example
    exec(example, {"features": np.load("clips.npy")})
    assert len(capsys.readouterr().out.splitlines()[-1].split()) == 3  # a moment


def test_the_example_of_the_api_page_runs(here, capsys):
    write_toy(here / "data", "toy")
    retriever = save_run(here / "retriever", prem_retriever.get_config, here / "data")
    made = command("index", "--out", "index", "--checkpoint", retriever, "--videos", "toy:test")
    assert made.exit_code == 0, made.output
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/api.md").read_text(), re.S)
    exec(example, {})
    video, start, end = capsys.readouterr().out.splitlines()[-1].split()
    assert video.startswith("test") and 0 <= float(start) < float(end)
