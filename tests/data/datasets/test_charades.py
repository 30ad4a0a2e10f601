"""Charades-STA."""

import json
import os

import numpy as np
import pytest

from vmr_jax.data.datasets import read_annotations

HEADER = "id,subject,script,length\r\n"


@pytest.fixture
def directory(tmp_path):
    (tmp_path / "charades_sta_train.txt").write_text(
        "AAAAA 0.0 6.9##a person puts a book on a shelf.\n"
        "BBBBB 1.0 9.0##the person eats ## sign.\n"
        "\n"
        "AAAAA 2.0 3.5##they leave.\n"
    )
    (tmp_path / "Charades_v1_train.csv").write_text(
        HEADER + 'AAAAA,X,"A person, a book; ""quoted""",30.5\r\nBBBBB,X,y,8.25\r\nCCCCC,X,z,9\r\n'
    )
    return tmp_path


def test_read(directory):
    read = read_annotations("charades_sta", directory)
    train = read.splits["train"]
    assert [r.query_id for r in train] == ["AAAAA#0", "BBBBB#0", "AAAAA#1"]
    assert train[1].sentence == "the person eats ## sign."
    np.testing.assert_array_equal(train[1].moments, [[1.0, 8.25]])
    assert read.durations == {"AAAAA": 30.5, "BBBBB": 8.25}


def test_durations_of_charades_json(directory):
    (directory / "Charades_v1_train.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no durations .*Charades_v1_train.csv and Char"):
        read_annotations("charades_sta", directory)
    durations = {v: {"subset": "training", "duration": 12.5} for v in ("AAAAA", "BBBBB")}
    (directory / "charades.json").write_text(json.dumps(durations))
    assert read_annotations("charades_sta", directory).durations["AAAAA"] == 12.5


def test_a_video_without_a_duration_is_an_error(directory):
    (directory / "Charades_v1_train.csv").write_text(HEADER + "AAAAA,X,y,30.5\r\n")
    faults = read_annotations("charades_sta", directory).faults
    assert ("video without a duration", "train BBBBB#0", "") in faults


@pytest.mark.parametrize("line", ["AAAAA 0.0##a", "AAAAA 0.0 6.9 a person", "AAAAA 0.0 x##a"])
def test_errors_name_the_line(directory, line):
    with (directory / "charades_sta_train.txt").open("a") as file:
        file.write(line)
    with pytest.raises(ValueError, match=r"charades_sta_train.txt:5: expected '<video> <start> <e"):
        read_annotations("charades_sta", directory)


@pytest.mark.parametrize("row", ["BBBBB,X", "BBBBB,X,y,", "BBBBB,X,y,long"])
def test_a_truncated_csv_is_an_error(directory, row):
    (directory / "Charades_v1_train.csv").write_text(HEADER + row)
    with pytest.raises(ValueError, match=r"row of 'BBBBB' has no number, such as 30.5, in the"):
        read_annotations("charades_sta", directory)


def test_a_table_of_a_spreadsheet_has_semicolons(directory):
    table = directory / "Charades_v1_train.csv"
    table.write_text(table.read_text().replace(",", ";"), "utf-8-sig")
    assert read_annotations("charades_sta", directory).durations == {"AAAAA": 30.5, "BBBBB": 8.25}
    table.write_text("id;length\nAAAAA;30,5\n")
    with pytest.raises(ValueError, match="no number, such as 30.5, .* .'30,5'.; is the file"):
        read_annotations("charades_sta", directory)


def test_a_pipe_is_no_file_of_durations(directory):
    os.mkfifo(directory / "Charades_v1_test.csv")
    with pytest.raises(ValueError, match="v1_test.csv is a pipe; durations are read from a regul"):
        read_annotations("charades_sta", directory)


@pytest.mark.parametrize("table", [b"id,length\nA\xff,3\n", b'id,length\n"' + b"a" * 200_000])
def test_a_table_of_durations_that_is_no_csv(directory, table):
    (directory / "Charades_v1_train.csv").write_bytes(table)
    with pytest.raises(ValueError, match=r"Charades_v1_train.csv: not a CSV file in UTF-8 \("):
        read_annotations("charades_sta", directory)
