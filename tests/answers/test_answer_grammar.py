"""What is read of an answer: the examples of the page, and what is printed in its shapes."""

import math
import re
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vmr_jax.answers.grammar import REASONS, read_answer

PAGE = (Path(__file__).parents[2] / "docs" / "answers.md").read_text("utf-8")


def examples():
    """(answer, duration, options, what is read) of each example of the page."""
    found, duration, options = [], math.nan, {}
    for line in re.findall(r"^    (.*)$", PAGE, re.MULTILINE):
        if line.startswith("# a video of "):
            head, *flags = line.removeprefix("# a video of ").split(", ")
            duration = math.nan if head.startswith("unknown") else float(head.removesuffix(" s"))
            options = {name: float(n) for name, n in re.findall(r"--(\w+) (\d+)", str(flags))}
        else:
            answer, mark, read = line.rpartition(" ⇒ ")
            assert mark, line
            found.append((answer.replace("⏎", "\n"), duration, options, read))
    return found


def said(reading):
    """A reading as the page tells it."""
    return reading.reason or "; ".join(f"{start:g} to {end:g}" for start, end in reading.moments)


def test_the_examples_of_the_page():
    assert len(examples()) >= 60
    wrong = [
        (answer, said(read), expected)
        for answer, duration, options, expected in examples()
        if said(read := read_answer(answer, duration, **options)) != expected
    ]
    assert not wrong


def test_the_reasons_of_the_page():
    rows = dict(re.findall(r"^\| `([\w ]+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert rows.pop("missing")
    assert rows == REASONS
    assert REASONS.keys() - {"empty"} <= {expected for *_, expected in examples()}
    assert said(read_answer(" \n")) == "empty"


# Times with up to three decimals, as they are printed, so that they can be read back exactly.
TENTHS = st.integers(0, 99_999).map(lambda n: Fraction(n, 10))
MOMENTS = st.tuples(TENTHS, TENTHS).filter(lambda pair: pair[0] < pair[1])


def plain(value):
    return f"{float(value):.1f}"


def clock(value):
    minutes, seconds = divmod(value, 60)
    return f"{int(minutes):02d}:{float(seconds):04.1f}"


def long_clock(value):
    minutes, seconds = divmod(value, 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02d}:{float(seconds):04.1f}"


def in_words(value):
    minutes, seconds = divmod(value, 60)
    return f"{int(minutes)} minutes {float(seconds):.1f} seconds"


TIMES = [plain, lambda value: f"{plain(value)} s", clock, long_clock, in_words]
TIMES += [lambda value: f"**{clock(value)}**", lambda value: f"<{plain(value)} seconds>"]
SHAPES = [
    "{0} to {1}",
    "{0} - {1}",
    "{0}–{1}",
    "From {0} to {1}.",
    "From {0} until {1}",
    "between {0} and {1}",
    "The event 'he takes 3 of 4 to 5 boxes' happens in {0} - {1}.",
    "It starts at {0} and ends at {1}.",
    "Start time: {0}\nEnd time: {1}",
    "[{0}, {1}]",
    "({0}, {1})",
    "<think>2 to 3</think><answer>{0} to {1}</answer>",
    "Final answer: {0} - {1}",
]
JSON_SHAPES = [
    '{{"start": "{0}", "end": "{1}"}}',
    '```json\n{{"start_time": "{0}", "end_time": "{1}", "event": "4 to 5 men"}}\n```',
    '{{"relevant_windows": [["{0}", "{1}"]]}}',
]
LISTS = [
    ("{0} to {1}", "\n"),
    ("{0} - {1}", ", "),
    ("- {0} - {1}", "\n"),
    ("[{0}, {1}]", ", "),
    ("({0}, {1})", " and "),
    ('{{"start": {0}, "end": {1}}}', ", "),
    ("From {0} to {1}", " and again "),
]


@given(MOMENTS, st.sampled_from(SHAPES + JSON_SHAPES), st.sampled_from(TIMES))
def test_what_is_printed_is_read_back(moment, shape, printed):
    answer = shape.format(*map(printed, moment))
    assert read_answer(answer).moments == (tuple(map(float, moment)),), answer


@given(
    st.lists(MOMENTS, min_size=1, max_size=5, unique=True),
    st.sampled_from(LISTS),
    st.sampled_from(TIMES),
)
def test_lists_are_read_back_in_their_order(moments, shape, printed):
    item, between = shape
    items = [item.format(*map(printed, moment)) for moment in moments]
    listed = tuple(tuple(map(float, moment)) for moment in moments)
    assert read_answer(between.join(items)).moments == listed, items
    if not item.startswith("-"):
        numbered = "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))
        assert read_answer(numbered).moments == listed, numbered


@given(
    st.tuples(st.integers(0, 5000), st.integers(0, 5000)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from(["{0} to {1}", "[{0}, {1}]", "start {0}, end {1}", "{0}\n{1}"]),
    st.floats(0.5, 5000),
    st.floats(1, 120),
    st.integers(1, 300),
)
def test_other_units_are_read_back(pair, shape, duration, fps, bins):
    def read(text, **options):
        ((start, end),) = read_answer(text, duration, **options).moments
        return start, end

    def times(unit):
        return pytest.approx(tuple(float(k * unit) for k in pair), rel=1e-12)

    text = shape.format(*pair)
    hundredth, part = Fraction(duration) / 100, Fraction(duration) / bins
    assume(float(part * pair[0]) < float(part * pair[1]))
    assert read(shape.format(*(f"{k}%" for k in pair))) == times(hundredth)
    assert read(shape.format(*(f"{k} ms" for k in pair))) == times(Fraction(1, 1000))
    assert read(shape.format(*(f"frame {k}" for k in pair)), fps=fps) == times(1 / Fraction(fps))
    assert read(text, fps=fps) == times(1 / Fraction(fps))
    assert read(text, bins=bins) == times(part)
    assert read(f"{text} seconds", fps=fps)[1] in (
        pytest.approx(float(pair[1]), rel=1e-12),
        pytest.approx(float(pair[1] / Fraction(fps)), rel=1e-12),
    )


@given(st.text(max_size=80) | st.text("0123456789:.,-[]()\"' \nstoandfrme%<>/", max_size=80))
def test_any_text_is_read_or_has_a_reason(text):
    moments, reason = read_answer(text, 30.0)
    assert (reason in REASONS) != bool(moments)
    assert all(map(math.isfinite, [time for moment in moments for time in moment]))


@pytest.mark.parametrize("part", ["from to ", "12:", "(", "()", '"a ', "answer ", "from 1 s ", "9"])
def test_a_text_that_repeats_itself_is_read_at_once(part):
    began = time.process_time()
    read_answer(part * 2000, 30.0)
    assert time.process_time() - began < 5


def test_a_unit_of_one_time_is_that_of_both():
    assert read_answer("12 to 18 minutes").moments == ((720.0, 1080.0),)
    assert read_answer("12 s to 18", fps=2).moments == ((12.0, 18.0),)
    assert read_answer("1:12 to 80").moments == ((72.0, 80.0),)
