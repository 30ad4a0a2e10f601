"""Figures can be read, whatever is in them."""

import matplotlib
import pytest

from tests.plots.figure_cases import DRAW, assert_readable, made_up
from vmr_jax.plots.drawing import save


@pytest.mark.parametrize("figure", DRAW)
@pytest.mark.parametrize(
    ("words", "rows", "truth"),
    [(60, 134, [[3.2, 20.0]] * 3 + [[100, 150], [190, 215.0]]), (1, 1, [[0, 5]]), (5, 40, [])],
)
def test_nothing_is_cut_off_or_covered(figure, words, rows, truth):
    assert_readable(DRAW[figure](made_up(words, rows, truth)))


def test_clips_are_called_clips():
    texts = {}
    for figure in ("attention", "timeline"):
        texts[figure] = assert_readable(DRAW[figure](made_up(5, 40, []) | {"rows_are": "clips"}))
        assert not any("proposals" in text for text in texts[figure])
    assert any("Colour: the value of the clip;" in text for text in texts["attention"])
    assert "strongest clips: 16 of 40" in texts["timeline"]


def test_the_system_has_a_line_of_its_own_in_the_title():
    shown = made_up(5, 1, []) | {"system": "MMCDA, derived from the abstract"}
    for draw in DRAW.values():
        lines = draw(shown).get_suptitle().splitlines()
        assert "MMCDA, derived from the abstract, step 123456" in lines


def test_the_time_line_ends_with_what_is_drawn():
    shown = made_up(3, 2, [[0, 5]])
    for spans in (shown["proposals"], shown["predictions"]):
        spans |= {"start": [0, 5], "end": [5, 25]}
    shown["duration"] = 25.0
    shown["predictions"] |= {"start": [0, 5, 25], "end": [5, 25, 30], "score": [2.0, 1.0, -9.0]}
    assert DRAW["timeline"](shown).axes[1].get_xlim() == (0, 25)
    shown["predictions"] |= {"start": [0, 25, 5], "end": [5, 30, 25]}
    assert DRAW["timeline"](shown).axes[1].get_xlim() == (0, 30)


def test_signs_of_formulas_are_plain_text(tmp_path):
    content = made_up(5, 40, []) | {"query": "pays $5_0 and $x^2 more", "video": "a_b$c"}
    save(DRAW["timeline"], content, tmp_path / "timeline.png")
    assert (tmp_path / "timeline.png").stat().st_size > 10_000
    with matplotlib.rc_context({"text.parse_math": False}):
        texts = assert_readable(DRAW["timeline"](content))
    assert any("$5_0 and $x^2" in text for text in texts)
