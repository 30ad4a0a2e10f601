"""Finding and parsing annotation files."""

import os
import re

import pytest

from vmr_jax.data.datasets.files import (
    field,
    find_splits,
    read_json,
    read_json_lines,
    read_lines,
    window,
)


def test_find_splits_takes_the_first_name_and_reports_absent_splits(tmp_path):
    for name in ("b.json", "a.json"):
        (tmp_path / name).write_text("{}")
    candidates = {"train": ("a.json", "b.json"), "val": ("b.json",), "test": ("c.json",)}
    paths, faults = find_splits("some", tmp_path, candidates)
    assert paths == {"train": tmp_path / "a.json", "val": tmp_path / "b.json"}
    assert [(f.where, f.repair) for f in faults] == [("test (c.json)", "split left out")]


def test_find_splits_without_any_file_names_what_it_looked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"annotation file of some; .* a.json or b.json, c"):
        find_splits("some", tmp_path, {"train": ("a.json", "b.json"), "val": ("c.json",)})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1,\n "b": [1, 2', r"x.json:2: not valid JSON at column 12 .*is the file complete"),
        ("[1]", "expected an object at the top level, found a list"),
        ('{"a": 1, "a": 2}', "the key 'a' comes twice"),
        ('{"a": 1' + "0" * 400 + "}", "x.json: the number 10+... has 401 digits"),
        ('{"a": "\\ud83d"}', "x.json: a text has half of a surrogate pair"),
        ("[" * 100_000, "x.json: lists or objects are nested too deeply"),
    ],
)
def test_read_json_errors(tmp_path, text, message):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        read_json(path, dict)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"a": 1', r"x.jsonl:3: not valid JSON at column 8 .*one object a line"),
        ("3", "x.jsonl:3: expected one JSON object, found a whole number"),
        ('{"a": 1, "a": 2}', "x.jsonl:3: the key 'a' comes twice"),
        ('{"a": -1' + "0" * 400 + "}", "x.jsonl:3: the number -10+... has 402 digits"),
        ('{"a": "\\ud83d"}', "x.jsonl:3: a text has half of a surrogate pair"),
    ],
)
def test_read_json_lines_errors_name_the_line(tmp_path, line, message):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n' + line)
    with pytest.raises(ValueError, match=message):
        list(read_json_lines(path))


def test_a_whole_surrogate_pair_is_a_character(tmp_path):
    path = tmp_path / "x.json"
    path.write_text('{"a": "\\ud83d\\ude42"}')
    assert read_json(path, dict) == {"a": "\U0001f642"}


def test_read_json_lines_skips_blank_lines_and_needs_no_final_line_end(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"a": 1}\n\n{"a": 2}')
    assert list(read_json_lines(path)) == [(f"{path}:1", {"a": 1}), (f"{path}:3", {"a": 2})]


def test_read_lines_refuses_other_encodings(tmp_path):
    path = tmp_path / "x.txt"
    path.write_bytes(b"fine\n\xff\xfe\n")
    with pytest.raises(ValueError, match="x.txt:2: not UTF-8 text"):
        list(read_lines(path))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_end_in_any_way(tmp_path, end):
    path = tmp_path / "x.txt"
    path.write_bytes(f"\ufeffone\u2028 line{end}{end} größer{end}".encode())
    assert list(read_lines(path)) == [(f"{path}:1", "one\u2028 line"), (f"{path}:3", "größer")]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"b": 1, "c": 2}, 'here: no "a"; found b, c'),
        ({}, 'here: no "a"; found nothing'),
        ({"a": "x"}, 'here: "a" is a string; expected a number'),
        ({"a": True}, 'here: "a" is true or false; expected a number'),
        ([], "here: expected an object, found a list"),
    ],
)
def test_field_errors(record, message):
    with pytest.raises(ValueError, match=message):
        field(record, "a", (float, int), "here")


@pytest.mark.parametrize("value", [[1], [1, 2, 3], [1, "2"], 3, [True, 2], None])
def test_window_refuses_what_is_no_pair(value):
    with pytest.raises(ValueError, match=re.escape("here: expected [start, end] in numbers")):
        window(value, "here")
    assert window([0, 1.5], "here") == (0.0, 1.5)


def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "train.json")
    (tmp_path / "val.json").mkdir()
    (tmp_path / "link.json").symlink_to("/dev/zero")
    candidates = {name: (f"{name}.json",) for name in ("train", "val", "link")}
    paths, _ = find_splits("some", tmp_path, candidates)
    for name, kind in {"train": "pipe", "val": "directory", "link": "device"}.items():
        message = f"{name}.json is a {kind}; annotations are read from a regular file"
        with pytest.raises(ValueError, match=message):
            read_json(paths[name], dict)
        with pytest.raises(ValueError, match=message):
            list(read_json_lines(paths[name]))
