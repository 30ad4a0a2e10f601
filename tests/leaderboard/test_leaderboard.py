"""A leaderboard says what `vmr score` and `vmr compare` say, and where it comes from."""

import hashlib
import json
import re

import pytest

from tests.command_line import vmr
from tests.leaderboard.boards import board_folder, labels, write_lines
from vmr_jax.evaluation.compare import compare_files
from vmr_jax.evaluation.score import score_files
from vmr_jax.leaderboard.board import make_board
from vmr_jax.leaderboard.entries import read_entries
from vmr_jax.leaderboard.page import page


@pytest.fixture
def folder(tmp_path):
    return board_folder(tmp_path / "board")


def test_its_figures_are_those_of_score_and_compare(folder, tmp_path):
    asked = labels(tmp_path)
    board = make_board(folder, asked)
    rows = {row["name"]: row for row in board["entries"]}
    assert [row["name"] for row in board["entries"]] == ["Near <b>", "words", "far", "random"]
    for name, kind in (("near", "windows"), ("far", "windows"), ("words", "text")):
        file = next((folder / name).glob("*.jsonl"))
        report = score_files(file, asked, kind=kind)
        row = rows["Near <b>" if name == "near" else name]
        assert row["file"] == f"{name}/{file.name}"
        assert row["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
        assert row["missing"] == report.values["missing"]
        for metric, value in report.values["model"].items():
            assert row["metrics"][metric]["value"] == value
            interval = report.values["intervals"]["model"][metric]
            assert row["metrics"][metric]["interval"] == pytest.approx(interval)
        assert row["metrics"]["mAP"]["value"] == report.values["lengths"]["full"]["mAP"]
        for metric, value in report.values["random"].items():
            assert rows["random"]["metrics"][metric]["value"] == pytest.approx(value)
        assert row["by"]["moment length"].keys() == {"to 10 s"}
        groups = row["by"]["windows"].values()
        assert sum(group["queries"] for group in groups) == 24
        mean = sum(group["queries"] * group["mIoU"] for group in groups) / 24
        assert mean == pytest.approx(report.values["model"]["mIoU"])
    assert rows["words"]["unread"] == {"missing": 1, "refusal": 1}
    pair = next(p for p in board["pairs"] if (p["first"], p["second"]) == ("Near <b>", "far"))
    compared = compare_files(
        folder / "near" / "predictions.jsonl", folder / "far" / "predictions.jsonl", asked
    )
    assert pair["metrics"]["mIoU"] == compared.values["metrics"]["mIoU"]
    assert board["labels"] == [
        {"file": "test.jsonl", "sha256": hashlib.sha256(asked.read_bytes()).hexdigest()}
    ]
    assert board["queries"] == 24 and board["videos"] == 12


def test_the_location_prior_is_learnt_from_a_training_split(folder, tmp_path):
    labels(tmp_path / "labels"), labels(tmp_path / "labels", split="train")
    board = make_board(folder, tmp_path / "labels", split="test")
    prior = next(row for row in board["entries"] if row["name"] == "location_prior")
    report = score_files(folder / "far" / "predictions.jsonl", tmp_path / "labels", split="test")
    assert prior["metrics"]["mIoU"]["value"] == report.values["location_prior"]["mIoU"]
    assert prior["metrics"]["mIoU"]["interval"][0] < prior["metrics"]["mIoU"]["value"]
    assert [label["file"] for label in board["labels"]] == ["test.jsonl", "train.jsonl"]


def test_the_page_holds_all_and_fetches_nothing(folder, tmp_path):
    board = make_board(folder, labels(tmp_path))
    html = page("A <title>", board)
    assert (
        "<h1>A &lt;title&gt;</h1>" in html
        and "Near &lt;b&gt;" in html
        and "<b>" not in (html.replace("<i></i><b></b>", ""))
    )
    assert 'href="https://example.org/a?b=1&amp;c"' in html and "run --it &amp;&amp; done" in html
    assert re.findall(r'(?:src|href)="(?!#)([^"]*)"', html) == ["https://example.org/a?b=1&amp;c"]
    assert "1: it says that there is no such moment" in html
    for row in board["entries"]:
        assert f"{row['metrics']['mIoU']['value']:.2f}" in html
        assert row.get("sha256", "") in html
    below = next(p for p in board["pairs"] if p["first"] == "words" and p["second"] == "far")
    by = -below["metrics"]["mIoU"]["difference"]
    assert f"{by:+.2f}" in html and f"{-by:+.2f}" in html


def test_one_video_has_no_intervals(tmp_path):
    asked = labels(tmp_path, count=2)
    board = make_board(board_folder(tmp_path / "board", count=2), asked)
    assert board["videos"] == 1
    assert board["entries"][0]["metrics"]["mIoU"]["interval"] is None
    assert json.loads(json.dumps(board, allow_nan=False)) == board
    assert "to nan" not in page("one", board)


@pytest.mark.parametrize(
    ("card", "message"),
    [
        ("name = ", "near/card.toml: not valid TOML"),
        ('paper = "x"', "a card has no 'paper'; it has name, link, command, note, fps, bins"),
        ("name = 3", "name must be a text"),
        ('fps = "2"', "fps must be a number"),
        ('link = "javascript:alert(1)"', "does not begin with https://"),
        ('name = "far"', "are both called 'far'"),
        ("fps = 2", "answers in words"),
    ],
)
def test_cards_are_checked(folder, tmp_path, card, message):
    (folder / "near" / "card.toml").write_text(card)
    with pytest.raises(ValueError, match=re.escape(message)):
        make_board(folder, labels(tmp_path))


def test_folders_are_checked(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder of a leaderboard"):
        read_entries(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="holds predictions.jsonl or answers.jsonl"):
        read_entries(folder / "near")
    write_lines(folder / "far" / "answers.jsonl", [{"qid": 1, "answer": ""}])
    with pytest.raises(ValueError, match="an entry has one of them"):
        read_entries(folder)
    (folder / "far" / "answers.jsonl").unlink()
    write_lines(folder / "far" / "predictions.jsonl", [{"qid": 99, "pred_relevant_windows": []}])
    with pytest.raises(ValueError, match="far/predictions.jsonl: .*99"):
        make_board(folder, labels(tmp_path))


def test_the_command_writes_the_page_and_its_figures(folder, tmp_path):
    out = tmp_path / "board.html"
    done = vmr("leaderboard", folder, labels(tmp_path), "--out", out, "--title", "Doors")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{out}, board.json: 3 systems, 24 queries\n"
    assert "<h1>Doors</h1>" in out.read_text("utf-8")
    assert json.loads((tmp_path / "board.json").read_text())["main"] == "R@1,IoU=0.5"
    refused = vmr("leaderboard", folder, labels(tmp_path), "--out", tmp_path / "board.txt")
    assert refused.exit_code == 1 and "is no .html file" in str(refused.exception)
