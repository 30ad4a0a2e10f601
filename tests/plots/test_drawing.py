"""Figures can be read, whatever is in them."""

import pytest

from tests.plots.figure_cases import DRAW, assert_readable, made_up


@pytest.mark.parametrize("figure", ["attention", "timeline"])
@pytest.mark.parametrize(
    ("words", "rows", "truth"),
    [(60, 134, [[3.2, 20.0]] * 3 + [[100, 150], [190, 215.0]]), (1, 1, [[0, 5]]), (5, 40, [])],
)
def test_nothing_is_cut_off_or_covered(figure, words, rows, truth):
    assert_readable(DRAW[figure](made_up(words, rows, truth)))
