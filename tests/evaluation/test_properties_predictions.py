"""Predictions and submissions are read as they were written, and refused with their place."""

import json
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmr_jax.evaluation.predictions import read_predictions, write_predictions
from vmr_jax.evaluation.submission import is_submission, read_submission, write_submission
from vmr_jax.metrics.retrieval import MOST, TASKS

pytestmark = pytest.mark.filterwarnings("ignore:.*only NaN scores")

IDS = st.text(max_size=6) | st.integers(-5, 10**20).map(str) | st.sampled_from(["007", "٣", "²"])
NUMBERS = st.floats() | st.floats(width=32) | st.integers(-3, 3).map(float)
WINDOWS = st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), max_size=5)
# Any value that JSON can hold, the huge and the not finite among them.
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.sampled_from([0, 7, -1, 10**400, -(10**309)])
    | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)
NEARLY_NUMBERS = st.sampled_from([0, 1, 2.5, -1, 10**400, math.nan, True, None, "1"])


def rows(width: int) -> st.SearchStrategy:
    """Lists of rows of numbers, of which some are of another width or not of numbers."""
    numbers = st.sampled_from([0, 1, 0.5, 10**400, math.inf])
    return st.lists(
        st.lists(numbers, min_size=width, max_size=width) | st.lists(NEARLY_NUMBERS), max_size=3
    )


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("predictions") / "predictions.json"


@given(st.dictionaries(IDS, st.tuples(st.text(), st.text(), WINDOWS), min_size=1, max_size=5))
def test_predictions_are_read_as_they_were_written(path, queries):
    sentences, videos, windows = zip(*queries.values(), strict=True)
    write_predictions(path, list(queries), sentences, videos, windows)
    found = read_predictions(path)
    assert list(found) == list(queries)
    for query, listed in zip(queries, windows, strict=True):
        real = [row for row in listed if row[2] != -math.inf]
        np.testing.assert_array_equal(found[query], np.reshape(real, (-1, 3)))
        assert found[query].dtype == np.float64 and found[query].shape == (len(real), 3)
    for line, (sentence, video, _) in zip(path.open(), queries.values(), strict=True):
        assert (json.loads(line)["query"], json.loads(line)["vid"]) == (sentence, video)


@settings(max_examples=150)
@given(
    st.fixed_dictionaries(
        {
            "qid": VALUES | st.just(1),
            "pred_relevant_windows": VALUES | rows(3),
        }
    )
    | VALUES
)
def test_a_line_of_predictions_is_read_or_refused_with_its_place(path, value):
    good = {"qid": "a", "pred_relevant_windows": [[0, 1, 0.5]]}
    path.write_text(f"{json.dumps(good)}\n{json.dumps(value)}\n")
    try:
        found = read_predictions(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}:2: ")
    else:
        assert found.keys() == {"a", str(value["qid"])}


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_bytes_are_read_or_refused_with_the_files_name(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_predictions(path)
    with pytest.raises(ValueError, match=re.escape(str(path))):
        read_submission(path)


@st.composite
def submissions(draw):
    """Videos, queries and, for some tasks, rows of video, start, end, score."""
    videos = draw(st.lists(st.text(max_size=6), min_size=1, max_size=4, unique=True))
    queries = draw(st.dictionaries(IDS, st.text(max_size=10), max_size=3))
    row = st.tuples(st.integers(-1, len(videos) - 1), NUMBERS, NUMBERS, NUMBERS)
    lists = st.lists(st.lists(row, max_size=4), min_size=len(queries), max_size=len(queries))
    return videos, queries, draw(st.dictionaries(st.sampled_from(TASKS), lists, min_size=1))


@given(submissions(), st.sampled_from([1, 60]))
def test_submissions_are_read_as_they_were_written(path, submission, times):
    videos, queries, tasks = submission
    listed = {task: [of_query * times for of_query in lists] for task, lists in tasks.items()}
    write_submission(path, videos, list(queries), list(queries.values()), listed)
    assert is_submission(path)
    found = read_submission(path)
    assert found.video_index == {video: row for row, video in enumerate(videos)}
    assert list(found.tasks) == [task for task in TASKS if task in tasks]
    for task, lists in listed.items():
        assert list(found.tasks[task]) == list(queries)
        for query, written in zip(queries, lists, strict=True):
            real = [row for row in written if row[0] >= 0 and row[3] != -math.inf]
            ranked = sorted(real, key=lambda row: math.isnan(row[3]))[:MOST]
            np.testing.assert_array_equal(found.tasks[task][query], np.reshape(ranked, (-1, 4)))


@settings(max_examples=150)
@given(st.data())
def test_a_submission_is_read_or_refused_with_the_files_name(path, data):
    entry = {
        "desc_id": data.draw(VALUES | st.integers(0, 1)),
        "predictions": data.draw(VALUES | rows(4)),
    }
    value = {
        "video2idx": data.draw(
            VALUES | st.just({"a": 0}) | st.dictionaries(st.text(max_size=2), VALUES, max_size=2)
        ),
        "VR": data.draw(VALUES | st.just([entry])),
    }
    path.write_text(json.dumps(data.draw(st.just(value) | VALUES)))
    try:
        assert read_submission(path).tasks.keys() == {"VR"}
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")
