"""The `vmr` command in this process: its lists, a run from training to prediction, its mistakes."""

import json
import re
import shutil
import sys

import h5py
import numpy as np
import pytest

from tests.command_line import vmr
from tests.conftest import small_settings, write_toy
from tests.search.prem_runs import save_run
from vmr_jax import __version__, cli, models
from vmr_jax.config_files import config_names, summary
from vmr_jax.configs import prem_localizer, prem_retriever
from vmr_jax.data.tables.dataset import load_dataset

VLANET = {"epochs": 1, "proposals.widths": (2, 4), "proposals.stride": 2}
WINDOWS = "pred_relevant_windows"
NAMES = ", ".join(config_names())
OF_EVA = ("source", "target.windows", "target.stride")


def printed(*arguments) -> str:
    """What a command that succeeds prints."""
    result = vmr(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.stdout


@pytest.fixture
def mistake(monkeypatch):
    """mistake(a command line): the line that it ends in."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["vmr", *map(str, arguments)])
        monkeypatch.delenv("VMR_DEBUG", raising=False)
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert isinstance(end.value.code, str) and "\n" not in end.value.code
        return end.value.code

    return run


@pytest.fixture(scope="module")
def keys(toy_data):
    """The flags that make a VLANet small."""
    settings = small_settings(toy_data) | VLANET
    return [f"--config.{k}={v}" for k, v in settings.items() if not k.startswith(OF_EVA)]


@pytest.fixture(scope="module")
def run(tmp_path_factory, keys):
    """A VLANet that was trained by name from a directory of its own."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        told = printed("train", "vlanet:toy_target", "--workdir=runs/small", *keys)
    assert "workdir runs/small" in told and "location_prior" in told
    return folder / "runs/small"


@pytest.fixture(scope="module")
def video(toy_data):
    """The first video of the test split: id, features, seconds."""
    videos = load_dataset(toy_data, "toy_target", "features").videos
    row = videos.video_id.index("test0")
    return "test0", videos.features(row), float(videos.duration[row])


@pytest.fixture(scope="module")
def prem(tmp_path_factory):
    """Workdirs of a retriever and a localizer, trained for no step."""
    root = tmp_path_factory.mktemp("prem")
    write_toy(root / "data", "toy")
    return {
        "retriever": save_run(root / "r", prem_retriever.get_config, root / "data"),
        "localizer": save_run(root / "l", prem_localizer.get_config, root / "data"),
    }


def metrics(workdir, split):
    return json.loads((workdir / f"eval/toy_target_{split}/metrics.json").read_text())


def lines_of(text):
    return [json.loads(line) for line in text.splitlines()]


def test_version():
    assert printed("--version") == f"vmr_jax {__version__}\n"


def test_unknown_commands_suggest_the_nearest():
    for arguments, near in ((["trian"], "train"), (["plot", "timelin"], "timeline")):
        result = vmr(*arguments)
        assert result.exit_code == 2
        assert f"No such command '{arguments[-1]}'. Did you mean '{near}'?" in result.stderr


def test_configs_are_listed_with_a_line_each():
    lines = [line.split(maxsplit=1) for line in printed("configs").splitlines()]
    assert lines == [[name, summary(name)] for name in config_names()]


def test_systems_are_listed_with_paper_supervision_and_task():
    rows = [[cell.strip() for cell in line.split("│")] for line in printed("systems").splitlines()]
    shown = [tuple(cells[1:-1]) for cells in rows if len(cells) == 6]
    known = map(models.describe, models.names())
    assert shown == [(d.name, d.finds, d.supervision, d.paper) for d in known]


def test_a_run_goes_on_and_is_evaluated_as_it_was(run, keys):
    trained = metrics(run, "test")
    shutil.rmtree(run / "eval")
    assert "R@1,IoU=0.5" in printed("eval", run)
    assert metrics(run, "test") == trained and trained["system"] == "vlanet"
    again = printed("train", "vlanet:toy_target", f"--workdir={run}", *keys)
    assert "resuming" in again and metrics(run, "test") == trained


def test_another_split_is_evaluated(run, keys):
    split = "--config.target.eval_split=val"
    printed("eval", run, "--config=vlanet:toy_target", *keys, split)
    assert metrics(run, "val")["queries"] == 8
    refused = vmr("eval", run, "--config=vlanet:toy_target", *keys, "--config.dim=4")
    assert refused.exit_code == 1
    assert "--config.dim=4 has no effect on an evaluation" in refused.stderr


def test_a_key_that_an_evaluation_does_not_read_is_refused(prem):
    flags = ["--config=prem_retriever", "--config.eval.top_k=3", "--config.target.dataset=toy"]
    refused = vmr("eval", prem["retriever"], *flags)
    assert refused.exit_code == 1
    assert refused.stderr.startswith("error: --config.eval.top_k=3 has no effect on an evaluation")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "vlanett"], 1, "error: no config 'vlanett': .* Did you mean vlanet"),
        (["train", "vlanet", "--config.epoch=3"], 1, "unknown key: 'epoch'. Did you mean"),
        (["train", "vlanet", "--config.text.size=small"], 1, "an unknown key: .*'text'"),
        (["train", "vlanet", "--workdirr=x"], 1, "Unknown command line flag 'workdirr'"),
        (["train", "vlanet", "epochs=3"], 1, "unknown argument 'epochs=3'; settings are flags"),
        (["train"], 2, "(?i)missing argument 'config'"),
        (["train", "--config=eva"], 2, "without --config=, as in `vmr train eva`"),
        (["train", "--config"], 2, f"name one of {NAMES}: `vmr train NAME`"),
        (["train", "vlanet", "--config=eva"], 2, "--config comes after vlanet, which names the"),
        (["train", "--workdir=x", "vlanet"], 2, "the flags, such as --workdir=x, come after it"),
        (["eval", "--config=vlanet", "run"], 2, "the flags, such as --config=vlanet, come after"),
        (["eval", "nowhere"], 1, "error: nowhere: no checkpoint found there"),
    ],
)
def test_mistakes_in_runs(arguments, code, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = vmr(*arguments)
    assert result.exit_code == code
    assert re.search(message, result.stderr)
    assert not list(tmp_path.iterdir())


def test_a_config_that_is_mistyped_after_the_flag_lists_the_configs():
    message = str(vmr("train", "--config=evaa").exception)
    assert "no config 'evaa'" in message and f"Did you mean eva? Names: {NAMES}" in message


def test_predictions_are_those_of_the_evaluation(run, video, tmp_path):
    name, features, duration = video
    written = lines_of((run / "eval/toy_target_test/predictions.jsonl").read_text())
    expected = [line for line in written if line["vid"] == name]
    assert len(expected) == 2
    np.save(tmp_path / f"{name}.npy", features)
    with h5py.File(tmp_path / "several.h5", "w") as file:
        file["other"], file[name] = features[:2], features
    asked = ["qid", "query"]
    (tmp_path / "queries.jsonl").write_text(
        "".join(json.dumps({key: line[key] for key in asked}) + "\n" for line in expected)
    )
    common = ["--duration", duration, "--queries", tmp_path / "queries.jsonl", "--json"]
    for source in ([tmp_path / f"{name}.npy"], [tmp_path / "several.h5", "--video", name]):
        found = lines_of(printed("predict", run, *common, "--top", 99, "--features", *source))
        for line, evaluated in zip(found, expected, strict=True):
            assert line | {WINDOWS: 0} == evaluated | {WINDOWS: 0}
            np.testing.assert_allclose(line[WINDOWS], evaluated[WINDOWS], atol=1e-6)
    best = lines_of(printed("predict", run, *common, "--top", 1, "--features", *source))
    assert [len(line[WINDOWS]) for line in best] == [1, 1]


def test_a_sentence_has_a_table_and_unknown_words_are_told(run, video, tmp_path):
    name, features, duration = video
    np.save(tmp_path / "v.npy", features)
    asked = ("predict", run, "--features", tmp_path / "v.npy", "--duration", duration)
    told = vmr(*asked, "a purple [bold]door[/bold]", "--top", 2)
    assert told.stderr == "vmr: words without a vector: purple, bold\n"
    title, *_, last, _ = told.stdout.splitlines()
    assert title.strip() == "a purple [bold]door[/bold] — v"
    rank, start, end, _ = (float(cell) for cell in last.strip("│").split("│"))
    assert rank == 2 and 0 <= start < end <= duration + 0.01


def test_an_odd_query_of_a_file_costs_itself_alone(run, video, tmp_path):
    np.save(tmp_path / "v.npy", video[1])
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"qid": 1, "query": "?!"}\n{"qid": 2, "query": "a door"}\n')
    asked = ("predict", run, "--features", tmp_path / "v.npy", "--duration", 9)
    told = vmr(*asked, "--queries", queries, "--json")
    assert told.exit_code == 0
    odd, line = lines_of(told.stdout)
    assert odd["qid"] == 1 and odd[WINDOWS] == [] and odd["error"] == "it has no words ('?!')"
    assert line["qid"] == 2 and line[WINDOWS] and "error" not in line
    assert told.stderr == "vmr: 1 of 2 queries were not asked; each has its reason above\n"
    shown = printed(*asked, "--queries", queries)
    assert shown.startswith("query 1 was not asked: it has no words ('?!')\n") and "score" in shown


def test_a_localizer_knows_how_long_its_clips_are(prem, tmp_path):
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "v.h5", "w") as file, h5py.File(tmp_path / "s.h5", "w") as sub:
        file["v.mp4/rgb"], sub["v"] = rng.normal(size=(6, 8)), rng.normal(size=(6, 5))
        file["v.mp4/flow"] = np.ones(3)
    sources = ["--features", tmp_path / "v.h5", "--subtitles", tmp_path / "s.h5", "--key", "rgb"]
    asked = ("predict", prem["localizer"], "a red door", *sources, "--video", "v")
    told = vmr(*asked, "--json", "--top", 99)
    assert told.stderr == f"vmr: {tmp_path}/v.h5: 'v.mp4' is taken for 'v'\n"
    (line,) = lines_of(told.stdout)
    ends = [end for _, end, _ in line[WINDOWS]]
    assert (line["qid"], line["vid"], max(ends)) == (1, "v", 6 * 1.5)


def test_mistakes_in_predictions(run, prem, video, tmp_path, mistake):
    np.save(tmp_path / "v.npy", video[1])
    with h5py.File(tmp_path / "several.h5", "w") as file:
        file["a"], file["b"] = video[1], video[1][:, :3]
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"qid": 7, "query": "a door"}\n{"qid": "7", "query": "a box"}\n')
    one, several = ("--features", tmp_path / "v.npy"), ("--features", tmp_path / "several.h5")
    for arguments, message in (
        ((run, "a door"), "--features names the file or directory with the video's features"),
        ((run, "a door", "--features", tmp_path / "w.npy"), f"no features at {tmp_path}/w.npy"),
        ((run, "a door", *several), "several.h5 holds 2 videos: name one with --video"),
        ((run, "a door", *several, "--video", "c"), "several.h5 has no video c; it has 2, such"),
        ((run, "a door", *several, "--video", "b", "--duration", 9), "are 3 wide, others 8"),
        ((run, "a door", *one), "--duration is missing: how many seconds does the video last?"),
        ((run, "a door", *one, "--duration", -1), "duration is -1.0"),
        ((run, *one), "give either one sentence, such as"),
        ((run, "a door", "--queries", queries, *one), "give either one sentence, such as"),
        ((run, "--queries", queries, *one), f"{queries}: a query id comes twice: 7"),
        ((run, "--queries", tmp_path / "none", *one), f"no queries at {tmp_path}/none"),
        ((run, "zebra", *one, "--duration", 9), "the system knows none of its words ('zebra')"),
        ((run, "a " * 7, *one, "--duration", 9), "vmr: it has 7 words, this system reads 6"),
        ((run, "a door", *one, "--subtitles", tmp_path / "v.npy", "--duration", 9), "no subtitles"),
        ((tmp_path, "a door", *one), "no checkpoint found there"),
        ((prem["retriever"], "a door", *one), "prem_retriever ranks videos and finds no moments"),
        ((prem["localizer"], "a door", *one), "this run reads subtitles: give features ("),
    ):
        line = mistake("predict", *arguments)
        assert line.startswith("vmr: ") and message in line
    assert vmr("predict", run, "a door", *one, "--top", 0).exit_code == 2
    moved = vmr("predict", run, "a door", *one, "--data-dir", tmp_path)
    assert isinstance(moved.exception, FileNotFoundError) and "prepare" in str(moved.exception)
