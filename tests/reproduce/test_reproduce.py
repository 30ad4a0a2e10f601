import importlib
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.conftest import small_vdi, write_toy
from vmr_jax import models
from vmr_jax.cli import app
from vmr_jax.configs.tables import PaperTable, Row, Run, eva
from vmr_jax.data.batches.splits import selection_split, settle_selection
from vmr_jax.datasets import training_dataset
from vmr_jax.evaluation import evaluate
from vmr_jax.plots import transfer
from vmr_jax.plots.transfer import transfer_matrix
from vmr_jax.reproduce import tables as reproduction
from vmr_jax.reproduce.tables import as_markdown, reproduce
from vmr_jax.training import loop as train
from vmr_jax.training import mesh
from vmr_jax.training.workdir import claim_workdir

CONSOLE = Console(quiet=True)


@pytest.fixture
def pretended(monkeypatch):
    """Training and evaluation that write a report of invented figures; returns their configs."""
    calls = []

    def write(config, folder):
        target = config.target
        figures = {"mIoU": 30.0 + config.seed, "R@1,IoU=0.5": 20.0 + 2 * config.seed}
        report = {"dataset": target.dataset, "split": target.eval_split, "model": figures}
        report |= {"random": {"mIoU": 1.0}, "location_prior": {"mIoU": 9.0}}
        path = folder / "eval" / f"{target.dataset}_{target.eval_split}"
        path.mkdir(parents=True)
        (path / "metrics.json").write_text(json.dumps(report))
        return report

    def fake_train(config, workdir, restore, console):
        calls.append(("train", config))
        workdir.mkdir(parents=True)
        data = {r: {"fingerprint": "old"} for r in ("source", "target") if r in config}
        (workdir / "config.json").write_text(json.dumps({"data": data}))
        return write(config, workdir)

    def fake_open(config, role):
        return SimpleNamespace(name=config[role].dataset, fingerprint="old")

    def fake_splits(config):
        return SimpleNamespace(name=config.target.dataset, splits={})

    def fake_evaluate(config, workdir, restore, console):
        calls.append(("evaluate", config))
        return write(config, Path(restore))

    monkeypatch.setattr(reproduction, "training_dataset", fake_open)
    monkeypatch.setattr(reproduction, "evaluation_dataset", fake_splits)
    monkeypatch.setattr(train, "train", fake_train)
    monkeypatch.setattr(evaluate, "evaluate_checkpoint", fake_evaluate)
    return calls


def test_a_table_has_mean_deviation_and_published_numbers(pretended, tmp_path):
    (report,) = reproduce("eva", "5", "simulated", 3, tmp_path, {"epochs": 1}, CONSOLE)
    assert len(pretended) == 7 * 3
    assert {config.seed for _, config in pretended} == {0, 1, 2}
    assert all(config.epochs == 1 for _, config in pretended)
    row = report["rows"][0]
    assert row["name"] == "WR" and row["published"]["mIoU"] == 32.96
    assert row["measured"]["mIoU"] == {"mean": 31.0, "std": 1.0, "values": [30.0, 31.0, 32.0]}
    text = (tmp_path / "eva_table5.md").read_text()
    assert text == as_markdown(json.loads((tmp_path / "eva_table5.json").read_text()))
    assert "Published: TVR → ActivityNet val_2" in text
    where = "simulated_target test, features simulated"
    assert f"| WR | {where} | 31.00 ± 1.00 |" in text and "| 32.96 |" in text
    assert f"| location_prior | {where} | 9.00 |" in text


def test_what_is_there_is_not_run_again(pretended, tmp_path):
    for _ in range(2):
        reproduce("eva", "5", "simulated", 1, tmp_path, {}, CONSOLE)
    assert len(pretended) == 7
    reproduce("eva", "6", "simulated", 1, tmp_path, {}, CONSOLE)
    assert len(pretended) == 7 + 5  # the row `Cross` is Table 5's last


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "eval/simulated_target_test/metrics.json",
            {"model": {"mIoU": "x"}},
            "its 'model' are",
        ),
        (
            "eval/simulated_target_test/metrics.json",
            {"random": [1]},
            "its 'random' are",
        ),
        ("eval/simulated_target_test/metrics.json", {"model": {"mIoU": 10**400}}, "its 'model'"),
        ("config.json", {"data": {"source": {}}}, "its data are no datasets of this run"),
        ("config.json", {"data": {"sauce": {"fingerprint": "old"}}}, "its data are no datasets"),
        ("config.json", {"data": [1]}, "its data are no datasets of this run"),
    ],
)
def test_a_damaged_report_or_config_is_named(pretended, tmp_path, name, content, message):
    reproduce("eva", "5", "simulated", 1, tmp_path, {}, CONSOLE)
    path = next((tmp_path / "runs").iterdir()) / name
    path.write_text(json.dumps(json.loads(path.read_text()) | content))
    with pytest.raises(ValueError, match=rf"^{path} is damaged \({message}.*: delete"):
        reproduce("eva", "5", "simulated", 1, tmp_path, {}, CONSOLE)


def test_finished_runs_of_other_data_are_refused(pretended, tmp_path, monkeypatch):
    reproduce("eva", "5", "some/dir", 1, tmp_path, {}, CONSOLE)

    def open_new(config, role):
        return SimpleNamespace(name=config[role].dataset, fingerprint="new")

    monkeypatch.setattr(reproduction, "training_dataset", open_new)
    message = f"tvr in some/dir was prepared anew since the run in {tmp_path}/runs/.*-seed0 read it"
    with pytest.raises(ValueError, match=message):
        reproduce("eva", "5", "some/dir", 1, tmp_path, {}, CONSOLE)


def test_a_split_without_labels_is_refused_before_training(pretended, tmp_path, monkeypatch):
    def open_hidden(config):
        hidden = SimpleNamespace(moments=[np.empty((0, 2))] * 3)
        return SimpleNamespace(name=config.target.dataset, splits={"test": hidden})

    monkeypatch.setattr(reproduction, "evaluation_dataset", open_hidden)
    with pytest.raises(ValueError, match="simulated_target / test has no labels, so a table has"):
        reproduce("eva", "5", "simulated", 1, tmp_path, {}, CONSOLE)
    assert not pretended


def test_finished_runs_that_read_noun_chunks_and_patches_are_known_again(tmp_path):
    write_toy(tmp_path, "toy_target", videos=8)
    config, run = small_vdi(tmp_path), tmp_path / "run"
    claim_workdir(run, config, {"target": training_dataset(config, "target")})
    reproduction._check_same_data(config, run)
    config.text.query_mask_mode = ""  # reads no noun chunks
    with pytest.raises(ValueError, match=f"toy_target in {tmp_path} was prepared anew since"):
        reproduction._check_same_data(config, run)


def test_keys_that_the_config_does_not_have_are_refused(pretended, tmp_path):
    message = (
        "cannot set epoch=3: unknown key; did you mean epochs.{2}configs/eva.py and configs/co"
    )
    with pytest.raises(ValueError, match=message):
        reproduce("eva", "5", "simulated", 1, tmp_path, {"epoch": 3}, CONSOLE)
    assert not pretended


def test_what_is_not_prepared_is_said_before_the_first_run(pretended, tmp_path, monkeypatch):
    write_toy(tmp_path, "charades_sta", videos=8)
    monkeypatch.setattr(reproduction, "training_dataset", training_dataset)
    with pytest.raises(FileNotFoundError) as error:
        reproduce("mmcda", "transfer", str(tmp_path), 2, tmp_path, {}, CONSOLE)
    assert not pretended
    for name in ("activitynet_captions", "charades_sta", "tvr"):
        assert str(error.value).count(f"{name} with features 'i3d' is not prepared in") == 1


def test_a_model_is_evaluated_on_a_dataset_it_did_not_see(pretended, tmp_path):
    reproduce("eva", "7", "simulated", 1, tmp_path, {}, CONSOLE)
    evaluated = [config.target.dataset for kind, config in pretended if kind == "evaluate"]
    assert set(evaluated) == {"simulated_unseen"}


def test_it_is_evaluated_as_that_dataset_asks(pretended, tmp_path, monkeypatch):
    row = Row("EVA", {}, Run({"eval.batch_size": 8}, evaluate_on="didemo"))
    table = PaperTable("A table", "tvr,charades_cd", "somewhere", ("mIoU",), (row,))
    monkeypatch.setitem(eva.TABLES, "x", (table,))
    reproduce("eva", "x", "some/dir", 1, tmp_path, {}, CONSOLE)
    (_, trained), (_, evaluated) = pretended
    assert (trained.metric.discounted, trained.metric.didemo) == (True, "")
    assert (evaluated.metric.discounted, evaluated.metric.didemo) == (False, "official")
    assert (trained.eval.top_k, evaluated.eval.top_k, evaluated.eval.nms) == (10, 21, 1.0)
    assert (evaluated.eval.batch_size, evaluated.data_dir) == (8, "some/dir")
    assert (evaluated.target.dataset, evaluated.target.features) == ("didemo", "i3d")


def test_table_7_reads_i3d_of_all_datasets(pretended, tmp_path):
    reproduce("eva", "7", "some/dir", 1, tmp_path / "real", {}, CONSOLE)
    read = {(c.source.features, c.target.features) for _, c in pretended}
    assert read == {("i3d", "i3d")}
    tested = [c.target.dataset for kind, c in pretended if kind == "evaluate"]
    assert tested == ["charades_sta"] * 2 + ["activitynet_captions"] * 2
    del pretended[:]
    reproduce("eva", "7", "simulated", 1, tmp_path / "simulated", {}, CONSOLE)
    assert {c.target.features for _, c in pretended} == {"simulated"}


def test_rows_on_another_split_evaluate_the_same_run_there(pretended, tmp_path):
    *_, report = reproduce("eva", "3", "some/dir", 1, tmp_path, {}, CONSOLE)
    trained = [config for kind, config in pretended if kind == "train"]
    assert [c.target.dataset for c in trained] == ["charades_sta"] * 2 + [
        "activitynet_captions"
    ] * 2
    evaluated = [config.target.eval_split for kind, config in pretended if kind == "evaluate"]
    assert evaluated == ["val_1", "val_1"]
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["EVA"]["measured_on"] == "activitynet_captions val_1, features c3d"
    assert list(rows["EVA"]["published"].values()) == [70.79, 46.23, 28.00]
    assert rows["BAR"]["published"] == {"R@1,IoU=0.3": 49.03, "R@1,IoU=0.5": 30.73}


def test_a_split_that_chose_the_checkpoint_is_no_row(pretended, tmp_path):
    with pytest.raises(ValueError, match="target.select_split is 'val_1'.* nor reported may choos"):
        reproduce("eva", "3", "some/dir", 1, tmp_path, {"select": "val"}, CONSOLE)
    assert not pretended


def test_real_data_take_the_papers_set_up(pretended, tmp_path):
    reproduce("eva", "4", "some/dir", 1, tmp_path, {}, CONSOLE)
    kinds = [(c.source.dataset, c.target.dataset, c.target.eval_split) for _, c in pretended]
    assert kinds == [("tvr", "charades_cd", "test_ood"), ("tvr", "activitynet_cd", "test_ood")]
    assert all(config.data_dir == "some/dir" for _, config in pretended)
    assert all(config.metric.discounted for _, config in pretended)


@pytest.mark.parametrize(
    "paper", ["eva", "mmcda", "moment_detr", "prem", "qd_detr", "vdi", "vlanet"]
)
def test_rows_are_settings_that_the_config_has(paper):
    module = importlib.import_module(f"vmr_jax.configs.tables.{paper}")
    for part in (part for parts in module.TABLES.values() for part in parts):
        assert isinstance(part, PaperTable)
        get_config = importlib.import_module(
            f"vmr_jax.configs.{part.config or module.CONFIG}"
        ).get_config
        with pytest.raises(KeyError, match="unknown_key"):
            get_config().update_from_flattened_dict({"unknown_key": 1})
        for row in part.rows:
            assert set(row.published) <= set(part.metrics)
            if row.run:
                assert set(row.run.simulated) <= set(row.run.settings)
                config = get_config(row.set_up or part.set_up)
                for settings in (row.run.settings, row.run.simulated):
                    config.update_from_flattened_dict(settings)
                    chooser = models.of(config).chooser(config)
                    selection_split(settle_selection(config, chooser, {}), chooser)


@pytest.mark.parametrize("paper", ["eva", "mmcda", "vdi", "vlanet"])
def test_published_recalls_fall_with_the_iou(paper):
    module = importlib.import_module(f"vmr_jax.configs.tables.{paper}")
    for row in (row for parts in module.TABLES.values() for part in parts for row in part.rows):
        for n in (1, 5):
            recalls = [
                row.published[name]
                for name in (f"R@{n},IoU={iou}" for iou in (0.1, 0.3, 0.5, 0.7))
                if name in row.published
            ]
            assert recalls == sorted(recalls, reverse=True), (row.name, recalls)


@pytest.mark.parametrize(
    ("data", "stride", "target"),
    [
        ("simulated", 1, "simulated_target"),
        ("some/dir", 4, "charades_sta"),
    ],
)
def test_simulated_data_take_settings_of_their_own(pretended, tmp_path, data, stride, target):
    reproduce("vlanet", "3", data, 1, tmp_path, {}, CONSOLE)
    assert len(pretended) == 8  # the full model is the row of stride 8
    config = pretended[0][1]
    assert (config.proposals.stride, config.target.dataset) == (stride, target)


def test_vdi_is_measured_on_novel_words(pretended, tmp_path):
    reports = reproduce("vdi", "1", "some/dir", 1, tmp_path, {}, CONSOLE)
    rows = [{row["name"]: row["published"] for row in report["rows"]} for report in reports]
    assert [of["VDI"]["mIoU"] for of in rows] == [41.60, 34.32]
    kinds = [(c.target.dataset, c.target.eval_split, c.vdi.sd) for _, c in pretended]
    expected = [
        (name, "novel_word", sd) for name in ("charades_cg", "activitynet_cg") for sd in (0, 1)
    ]
    assert kinds == expected
    reproduce("vdi", "3", "simulated", 1, tmp_path, {}, CONSOLE)
    assert len(pretended) == 4 + 7


def test_rows_share_the_run_that_they_read(pretended, tmp_path):
    reproduce("prem", "6", "simulated", 2, tmp_path, {}, CONSOLE)
    retrievers, localizers = (
        [config for _, config in pretended if config.system == f"prem_{name}"]
        for name in ("retriever", "localizer")
    )
    assert [config.seed for config in retrievers] == [0, 1] and len(localizers) == 6 * 2
    for seed in (0, 1):
        read = {config.first.checkpoint for config in localizers if config.seed == seed}
        (folder,) = map(Path, read)
        assert (folder / "config.json").exists() and folder.name.endswith(f"seed{seed}")
    switches = [(c.modalities, c.gate, c.lc.enabled, c.shared_norm) for c in localizers]
    assert len(set(switches)) == 6


def test_the_transfer_matrix_goes_both_ways(pretended, tmp_path):
    reports = reproduce("mmcda", "transfer", "simulated", 2, tmp_path, {"epochs": 1}, CONSOLE)
    assert [report["set_up"] for report in reports] == [
        "simulated_source,simulated_target",
        "simulated_target,simulated_source",
    ]
    assert (tmp_path / "mmcda_transfer_a.md").exists()
    assert (tmp_path / "mmcda_transfer_b.json").exists()
    configs = [config for _, config in pretended]
    assert len(configs) == 2 * 9 * 2
    switches = {(c.target.dataset, *c.modules.values(), c.supervision) for c in configs}
    assert len(switches) == 2 * 9
    upper = [config for config in configs if config.supervision == "target"]
    assert len(upper) == 4 and all(config.target.labels for config in upper)
    assert not any(config.target.labels for config in configs if config not in upper)
    assert all("derived from the abstract" in report["title"] for report in reports)
    text = (tmp_path / "mmcda_transfer_a.md").read_text()
    assert "ublished" not in text and "of 2 seeds, on the split" in text
    matrix = transfer_matrix(reports)
    assert matrix["rows"][:2] == ["source only", "+ (i) domain"]
    column = [name["metric"] for name in matrix["columns"]].index("mIoU")
    assert matrix["cells"][0][column]["values"] == [30.0, 31.0]
    assert matrix["cells"][matrix["rows"].index("location_prior")][column]["mean"] == 9.0
    assert matrix["cells"][0][0] is None
    text = transfer.as_markdown(matrix)
    assert "| simulated_target → simulated_source: mIoU |" in text
    assert "| source only | — | 21.00 ± 1.41 | — | 30.50 ± 0.71 | — |" in text


def test_the_command_draws_the_matrix(pretended, tmp_path, monkeypatch):
    monkeypatch.setattr(mesh, "keep_compilations", lambda: None)
    command = ["reproduce", "mmcda", "--seeds", "1", "--out", str(tmp_path)]
    said = CliRunner().invoke(app, [*command, "--transfer"], catch_exceptions=False).output
    assert len(pretended) == 2 * 9
    files = [tmp_path / f"mmcda_transfer.{kind}" for kind in ("md", "json", "png")]
    assert f"written to {', '.join(map(str, files))}" in said.replace("\n", "")
    assert files[0].read_text().startswith("## MMCDA, derived from the abstract: transfer matrix")
    assert "| row |" not in said
    assert said.count("─ run 18 of 18 ─") == said.count("─ run 1 of 18 ─") == 1
    assert "\nsimulated_target → simulated_source, + (i) domain, seed 0\n" in said
    assert said.count("MMCDA, derived from the abstract: transfer simulated_") == 2
    tables = [line for line in said.splitlines() if line.startswith(("┃", "│"))]
    assert len(tables) > 2 * 12 and max(map(len, tables)) <= 80
    row = ["│", "source", "only", "│", "—", "│", "20.0", "│", "—", "│", "30.0", "│"]
    assert [line.split() for line in tables].count(row) == 2
    assert "(n - 1) of 1 seed." in files[0].read_text()
    assert files[2].read_bytes().startswith(b"\x89PNG")
    for both in ([], ["--transfer", "--table", "1"]):
        with pytest.raises(ValueError, match="give either --table NUMBER or --transfer"):
            CliRunner().invoke(app, [*command, *both], catch_exceptions=False)


def test_transfers_between_real_datasets(pretended, tmp_path):
    reports = reproduce("mmcda", "transfer", "some/dir", 1, tmp_path, {}, CONSOLE)
    assert [report["set_up"] for report in reports] == [
        "activitynet_captions,charades_sta",
        "charades_sta,activitynet_captions",
        "tvr,charades_sta",
        "tvr,activitynet_captions",
    ]
    published = {row["name"]: row["published"] for row in reports[2]["rows"] if row["published"]}
    assert published["EVA, target pairs"]["R@1,IoU=0.5"] == 40.21
    assert not any(name.startswith("+") for name in published)
    assert published.keys() == {
        "2D-TAN, source only",
        "XML, source only",
        "MMN, source only",
        "EVA, target pairs",
    }


def test_a_table_that_simulated_data_cannot_have_is_refused(pretended, tmp_path):
    with pytest.raises(ValueError, match="table 2 of vlanet has a metric that simulated data do"):
        reproduce("vlanet", "2", "simulated", 1, tmp_path, {}, CONSOLE)
    assert not pretended


@pytest.mark.parametrize(
    ("paper", "table", "message"),
    [
        ("eva", "1", "eva has no table '1' here; it has --table 2, 3, 4, 5, 6, 7$"),
        ("mmcda", "2", "mmcda has no table '2' here; it has --transfer$"),
        ("eva", "transfer", "eva has --table 2, .*, but no transfer matrix .*: mmcda has$"),
        ("nobody", "1", "no tables of 'nobody'"),
    ],
)
def test_unknown_tables(tmp_path, paper, table, message):
    with pytest.raises(ValueError, match=message):
        reproduce(paper, table, "simulated", 1, tmp_path, {}, CONSOLE)
