"""The prediction line format: round trip, kinds of ids, and every error with file and line."""

import json

import numpy as np
import pytest

from vmr_jax.evaluation.predictions import read_prediction_file, read_predictions, write_predictions

LINE = '{"qid": 7, "query": "a cat", "vid": "v", "pred_relevant_windows": [[0, 1.5, 0.9]]}\n'


def write(tmp_path, *lines):
    path = tmp_path / "predictions.jsonl"
    path.write_text("".join(lines), encoding="utf-8")
    return path


def test_round_trip(tmp_path):
    path = tmp_path / "predictions.jsonl"
    rows = [np.array([[0.1, 2.5, 0.7], [1 / 3, 9, -2]]), np.zeros((0, 3)), np.ones((1, 3))]
    write_predictions(path, ["7", "v#0", "007"], ["a", "bé", "c"], ["u", "v", "w"], rows)
    found = read_predictions(path)
    assert list(found) == ["7", "v#0", "007"]
    for expected, windows in zip(rows, found.values(), strict=True):
        np.testing.assert_array_equal(windows, expected)
        assert windows.dtype == np.float64 and windows.shape == expected.shape


def test_a_byte_order_mark_is_left_out(tmp_path):
    assert list(read_predictions(write(tmp_path, "\ufeff" + LINE))) == ["7"]


def test_lines_are_the_community_format(tmp_path):
    path = tmp_path / "predictions.jsonl"
    rows = np.array([[0.5, 2, 0.75], [0, 0, -np.inf]], np.float32)
    write_predictions(path, ["7", "x"], ["a cat", "a dog"], ["v", "w"], [rows, []])
    assert [json.loads(line) for line in path.read_text().splitlines()] == [
        {"qid": 7, "query": "a cat", "vid": "v", "pred_relevant_windows": [[0.5, 2.0, 0.75]]},
        {"qid": "x", "query": "a dog", "vid": "w", "pred_relevant_windows": []},
    ]


def test_numbers_and_strings_are_the_same_id(tmp_path):
    text = LINE + LINE.replace("7", '"8"') + "\n" + LINE.replace("7", "9").rstrip()
    assert list(read_predictions(write(tmp_path, text))) == ["7", "8", "9"]


def test_nan_is_read(tmp_path):
    rows = read_predictions(write(tmp_path, LINE.replace("0.9", "NaN")))["7"]
    np.testing.assert_array_equal(rows, [[0, 1.5, np.nan]])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([LINE, "{oops\n"], r"predictions.jsonl:2: not valid JSON \(Expecting property name"),
        (["[1]\n"], "predictions.jsonl:1: expected one JSON object a line"),
        (['{"vid": 1}\n'], 'predictions.jsonl:1: no "qid"; found vid'),
        (
            ['{"qid": 1}\n'],
            'predictions.jsonl:1: no "pred_relevant_windows"; found qid. .*--format',
        ),
        ([LINE.replace("7", "7.5")], "predictions.jsonl:1: qid 7.5 is neither a whole number"),
        ([LINE.replace("7", "true")], "predictions.jsonl:1: qid true is neither a whole number"),
        (['{"qid": 1, "pred_relevant_windows": 3}\n'], '1: "pred_relevant_windows" is not a list'),
        ([LINE.replace(", 0.9", "")], r"1: expected \[start, end, score\] in numbers, found \[0, "),
        ([LINE.replace("0.9", '"0.9"')], '1: expected .* found .*"0.9"'),
        ([LINE.replace("[[0, 1.5, 0.9]]", "[0, 1.5, 0.9]")], "1: expected .* found 0"),
        ([LINE, "\n", LINE], "predictions.jsonl:3: qid 7 was already given in line 1"),
        (
            [LINE.replace("}", ', "pred_saliency_scores": [1, "a"]}')],
            '1: "pred_saliency_scores" is not a list of numbers, one a clip',
        ),
        (["\n"], "predictions.jsonl holds no predictions"),
        ([LINE.replace("1.5", "1" + "0" * 400)], "1: a number in qid 7 is too large"),
        (["[" * 100_000], r"predictions.jsonl:1: not valid JSON \(maximum recursion depth"),
    ],
)
def test_errors_name_file_and_line(tmp_path, lines, message):
    with pytest.raises(ValueError, match=message):
        read_predictions(write(tmp_path, *lines))


def test_saliency_of_those_that_have_it(tmp_path):
    rated = LINE.replace("7", "8").replace("}", ', "pred_saliency_scores": [1, 0.5, NaN]}')
    found = read_prediction_file(write(tmp_path, LINE, rated))
    assert list(found.windows) == ["7", "8"] and list(found.saliency) == ["8"]
    np.testing.assert_array_equal(found.saliency["8"], [1, 0.5, np.nan])


def test_binary_file(tmp_path):
    path = tmp_path / "predictions.jsonl"
    path.write_bytes(b'{"qid": "\xff"}')
    with pytest.raises(ValueError, match="predictions.jsonl:1: not valid JSON .'utf-8' codec"):
        read_predictions(path)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="no predictions at .*none.jsonl"):
        read_predictions(tmp_path / "none.jsonl")
