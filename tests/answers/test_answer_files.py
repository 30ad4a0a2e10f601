"""Files of answers, what is said of those that are not read, and the prompts."""

import json

import numpy as np
import pytest

from tests.command_line import vmr
from vmr_jax.answers.files import (
    Unread,
    moments_of_answers,
    read_answer_file,
    told,
    write_unread,
)
from vmr_jax.answers.grammar import read_answer
from vmr_jax.answers.prompts import NAMES, prompts, template
from vmr_jax.data.datasets.records import Annotations, MomentRecord

RECORDS = [MomentRecord(str(i), "v", "a {man} sits", np.array([[12.0, 18.0]])) for i in range(4)]


def write(path, *lines):
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_a_file_is_read(tmp_path):
    lines = [
        {"qid": 0, "answer": "12 to 18"},
        {"id": "1", "response": [[12, 18], [20, 25.5]], "model": "m"},
        {"query_id": 2, "answer": None, "text": "unused"},
    ]
    answers = read_answer_file(write(tmp_path / "answers.jsonl", *lines))
    assert answers == {"0": "12 to 18", "1": "[[12, 18], [20, 25.5]]", "2": ""}
    found, unread = moments_of_answers(answers, RECORDS, {"v": 40.0})
    np.testing.assert_array_equal(found["0"], [[12, 18, 1]])
    np.testing.assert_array_equal(found["1"], [[12, 18, 1], [20, 25.5, 0.5]])
    assert found["2"].shape == (0, 3) and "3" not in found
    assert unread == [Unread("2", "empty", ""), Unread("3", "missing", "")]
    assert told(unread, 4) == [
        "2 of 4 answers are not read, and are misses:",
        "  1: the answer is empty",
        "  1: there is no answer",
    ]
    assert told([], 4) == ["all 4 answers are read"]
    write_unread(tmp_path / "unread.jsonl", [Unread("2", "no time", "später")])
    assert json.loads((tmp_path / "unread.jsonl").read_text("utf-8")) == {
        "qid": "2",
        "reason": "no time",
        "answer": "später",
    }


def test_numbers_are_frames_or_bins(tmp_path):
    answers = {"0": "25 to 50", "1": "frames 25 to 50"}
    for options, read in (({"fps": 2.5}, (10, 20)), ({"bins": 100}, (10, 20)), ({}, (25, 50))):
        found, unread = moments_of_answers(answers, RECORDS[:2], {"v": 40.0}, **options)
        assert tuple(found["0"][0, :2]) == read
        assert [one.reason for one in unread] == ([] if options else ["frames"])
    for options in ({"fps": 2, "bins": 100}, {"fps": -1}, {"bins": float("nan")}):
        with pytest.raises(ValueError, match="--fps"):
            moments_of_answers(answers, RECORDS, {}, **options)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "holds no answers"),
        ([{"qid": 1}], "answers.jsonl:1: none of answer, response, .* found qid"),
        ([{"answer": "12"}], "answers.jsonl:1: none of qid, .* found answer"),
        ([{"qid": 1.5, "answer": ""}], "1.5 is neither a whole number nor a string"),
        ([{"qid": 1, "answer": ""}, {"qid": "1", "answer": ""}], ":2: the id 1 was already given"),
    ],
)
def test_other_files_are_refused(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_answer_file(write(tmp_path / "answers.jsonl", *lines))


def test_an_answer_as_the_prompt_asks_is_read():
    answers = {
        "seconds.": ("From 12.0 to 18.5 seconds.", 1),
        "hh:mm:ss.s - hh:mm:ss.s": ("00:00:12.0 - 00:00:18.5", 1),
        "[[<start>, <end>], [<start>, <end>]]": ("[[12.0, 18.5], [20.0, 25.0]]", 2),
    }
    for name in NAMES:
        answer, count = next(a for end, a in answers.items() if template(name).endswith(end))
        moments = read_answer(answer).moments
        assert moments[0] == (12.0, 18.5) and len(moments) == count


def test_a_prompt_for_each_query():
    annotations = Annotations(
        "mad", {"val": RECORDS[:1], "test": RECORDS[1:]}, {"v": 3725.04}, [], {}
    )
    lines = list(prompts("mad", annotations, "val"))
    assert [line["qid"] for line in lines] == ["0"] and lines[0]["duration"] == 3725.04
    assert "01:02:05.0. " in lines[0]["prompt"] and '"a {man} sits"' in lines[0]["prompt"]
    lines = list(prompts("tacos", annotations))
    assert len(lines) == 4 and "lasts 3725.0 seconds" in lines[3]["prompt"]
    with pytest.raises(ValueError, match="no split 'x' here; it has val, test"):
        list(prompts("mad", annotations, "x"))
    with pytest.raises(ValueError, match="query 0: no duration of v"):
        list(prompts("mad", annotations._replace(durations={})))


def test_the_command_prints_prompts(tmp_path):
    assert vmr("prompts").stdout.split() == list(NAMES)
    assert vmr("prompts", "charades_sta").stdout == template("charades_sta") + "\n"
    unknown = vmr("prompts", "nothing")
    assert unknown.exit_code == 1 and "no prompt for 'nothing'" in str(unknown.exception)
    label = {"qid": 7, "vid": "v", "duration": 40, "query": "er öffnet", "relevant_windows": []}
    labels, out = write(tmp_path / "test.jsonl", label), tmp_path / "prompts.jsonl"
    printed = vmr("prompts", "jsonl", labels).stdout
    assert vmr("prompts", "jsonl", labels, "--out", out).exit_code == 0
    assert out.read_text("utf-8") == printed
    line = json.loads(printed)
    assert line["qid"] == "7" and '"er öffnet"' in line["prompt"] and "40.0" in line["prompt"]
