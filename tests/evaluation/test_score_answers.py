"""`vmr score --format text`: answers in words are scored as the windows that they name."""

import json
import subprocess
import sys

import pytest

import vmr_jax as vmr_api
from tests.command_line import vmr
from tests.leaderboard.boards import labels, write_lines
from vmr_jax.evaluation.score import score_files


def answers(path, count=24):
    """Right answers in turn with wrong ones, the last two of them unread and missing."""
    texts = ["From {0} to {1} seconds.", "[[{1}, 90], [{0}, {1}]]", "{0} s - {1} s"]
    lines = [
        {"qid": i, "answer": texts[i % 3].format(i, i + 10)} | {"model": "m"}
        for i in range(count - 1)
    ]
    lines[-1]["answer"] = "The video does not show it."
    return write_lines(path / "answers.jsonl", lines)


def windows(path, count=24):
    """The same as predictions."""
    lines = [
        {
            "qid": i,
            "pred_relevant_windows": [[i + 10, 90, 1.0], [i, i + 10, 0.5]]
            if i % 3 == 1
            else [[i, i + 10, 1.0]],
        }
        for i in range(count - 2)
    ]
    return write_lines(path / "predictions.jsonl", lines)


def test_answers_have_the_figures_of_the_windows_that_they_name(tmp_path):
    asked, given = labels(tmp_path), answers(tmp_path)
    report = score_files(given, asked, kind="text")
    plain = score_files(windows(tmp_path), asked)
    for part in ("model", "lengths", "intervals", "random"):
        assert report.values[part] == plain.values[part]
    assert report.values["unread"] == {"refusal": 1, "missing": 1}
    assert report.values["missing"] == 1
    assert [one.query_id for one in report.unread] == ["22", "23"]
    assert vmr_api.score(given, asked, kind="text").values == report.values


def test_plain_numbers_are_frames_or_parts(tmp_path):
    asked = labels(tmp_path, count=2)
    lines = [{"qid": i, "answer": f"from {2 * i} to {2 * i + 20}"} for i in range(2)]
    given = write_lines(tmp_path / "answers.jsonl", lines)
    for options in ({"fps": 2}, {"bins": 200}):  # of 100 s
        report = score_files(given, asked, kind="text", **options)
        assert report.metrics["R@1,IoU=0.7"] == 100 and report.values["unread"] == {}
    with pytest.raises(ValueError, match="not both"):
        score_files(given, asked, kind="text", fps=2, bins=200)
    with pytest.raises(ValueError, match="--format text"):
        score_files(windows(tmp_path, 2), asked, fps=2)
    with pytest.raises(ValueError, match="must be one of windows, text"):
        score_files(given, asked, kind="words")


def test_the_command_says_what_is_not_read(tmp_path):
    asked, given, out = labels(tmp_path), answers(tmp_path), tmp_path / "report.json"
    done = vmr("score", given, asked, "--format", "text", "--json", out)
    assert done.exit_code == 0, done.output
    assert "2 of 24 answers are not read, and are misses:" in done.stdout
    assert "1: it says that there is no such moment" in done.stdout
    assert "1: there is no answer" in done.stdout and "have no prediction" not in done.stdout
    unread = [json.loads(line) for line in (tmp_path / "report.unread.jsonl").open()]
    assert unread == [
        {"qid": "22", "reason": "refusal", "answer": "The video does not show it."},
        {"qid": "23", "reason": "missing", "answer": ""},
    ]
    assert json.loads(out.read_text())["unread"] == {"refusal": 1, "missing": 1}
    unknown = write_lines(tmp_path / "answers.jsonl", [{"qid": 99, "answer": "1 to 2"}])
    refused = vmr("score", unknown, asked, "--format", "text")
    assert refused.exit_code == 1 and "99" in str(refused.exception)


def test_scores_and_leaderboards_do_without_jax():
    script = (
        "import sys, vmr_jax.answers.prompts, vmr_jax.leaderboard.board, vmr_jax.leaderboard.page\n"
        "print([name for name in ('jax', 'flax', 'tensorflow_datasets') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "[]\n", done.stderr
