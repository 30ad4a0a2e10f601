"""Which rows of a table are told apart from its best one."""

import json

import numpy as np

from tests.conftest import small_vlanet
from vmr_jax.datasets import evaluation_dataset
from vmr_jax.reproduce.differences import RowValues, not_told_apart, row_values


def _row(where, *means):
    """Runs of the given mean hits over 40 videos of 5 queries."""
    values = np.stack([(np.arange(200) % 10 < 10 * mean).astype(float) for mean in means])
    return RowValues(where, {"R": values}, np.repeat(np.arange(40), 5))


def test_marked_is_what_seeds_or_queries_do_not_resolve():
    rows = [
        _row("a", 0.5, 0.7),  # the best
        _row("a", 0.5, 0.6),  # its seeds overlap the best row's
        _row("a", 0.1, 0.2),
        None,  # figures without values of queries
        _row("b", 0.4),  # the only one of its split
    ]
    assert list(not_told_apart(rows, ("R", "other"))) == [[], ["R"], [], [], []]


def test_values_are_those_of_the_predictions(toy_data, tmp_path):
    config = small_vlanet(toy_data)
    table = evaluation_dataset(config).splits["test"]
    asked = zip(table.query_id, table.moments, strict=True)
    lines = [
        {"qid": qid, "pred_relevant_windows": [[*map(float, moment[0]), 1.0]] if row else []}
        for row, (qid, moment) in enumerate(asked)
    ]
    folder = tmp_path / "eval"
    folder.mkdir()
    assert row_values("toy", [(config, folder)]) is None
    (folder / "predictions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    row = row_values("toy", [(config, folder)] * 2)
    expected = np.r_[0.0, np.ones(len(lines) - 1)]  # the first query has no prediction
    np.testing.assert_array_equal(row.values["R@1,IoU=0.7"], [expected] * 2)
    np.testing.assert_array_equal(row.video, table.video)
