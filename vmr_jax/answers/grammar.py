"""Which moments an answer of a language model names, or why none can be read.

docs/answers.md tells the rules in words, with examples that its test reads.
"""

import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import NamedTuple

from vmr_jax.answers.tokens import SECONDS, Token, tokens_of

REASONS = {
    "empty": "the answer is empty",
    "cut off": "it was cut off while thinking",
    "refusal": "it says that there is no such moment, or that it cannot tell",
    "no time": "it names no time",
    "one time": "it names one time or number, and a moment has two",
    "not joined": "it names times that no rule makes a moment of",
    "clock": "it names what is no time of a clock, such as 00:75",
    "frames": "it names frames, and --fps is not given",
    "duration": "it names a part of the video, whose duration is not known",
    "backwards": "it ends no later than it starts",
}

# The rules, over the codes of tokens (see Token); the first that fits at a place is taken. The
# first two times in it are the moment.
_RULES = re.compile(
    r"\([tn],[tn](?:,n)?\)"  # listed: [12, 18.5], and a score behind
    r"|(?P<long>[sb]\(*[tn]\)*[,a\n]*d+\(*[tn])"  # long: starts at 12 and lasts 6
    r"|[tn]\)*,?[le]+\(*[tn]"  # range: 12 to 18.5, 12 until 18.5
    r"|b\(*[tn]\)*,?a\(*[tn]"  # between 12 and 18.5
    r"|s\(*[tn][^tn]*e\(*[tn]"  # named: start: 12, end: 18.5
    r"|s[^tn\n]*t[^tn]*e[^tn\n]*t"  # told: starts to run at 12 s, and the run ends at 18.5 s
    r"|[sb]t[^tn]*lt"  # told: from 12 s, when it rains, to 18.5 s
)
_TWO = re.compile(r"[^wtnxd]*[tn][^wtnxd]*[tn][^wtnxd]*")  # the whole answer is two times
_ASIDE = re.compile(r"\([^tnx()]*\)")  # brackets without a time
_THOUGHT = re.compile(r".*</think(?:ing)?>", re.S)
_THINKING = re.compile(r"<think(?:ing)?>")
_FINAL = re.compile(r".*(?:<answer>|\\boxed|\banswer\W*(?:is\W*)?[:=])", re.S | re.I)
_CLOSED = re.compile(r"</answer>.*", re.S | re.I)
_REFUSAL = re.compile(
    r"n[o'’]t\b|\bno(?:ne|thing|where)?\b|\bnull\b|\bunable\b|\bsorry\b|\bn/a\b|\[\s*\]"
)


class _UnknownUnit(Exception):
    """A unit whose length is not known; the argument is the key of REASONS."""


class Reading(NamedTuple):
    """The moments that an answer names, or why it is not read."""

    moments: tuple[tuple[float, float], ...]  # (start, end) in seconds, as listed
    reason: str  # a key of REASONS; "" where there are moments


def read_answer(
    text: str, duration: float = math.nan, *, fps: float = 0, bins: float = 0
) -> Reading:
    """Read the moments of one answer, about a video of `duration` seconds.

    Numbers without a unit are seconds; with `fps` they are frames of a video with so many a second,
    with `bins` parts of a video that has so many. A moment that is named again counts once.
    """
    text, cut_off = _what_is_said(text)
    if cut_off or not text.strip():
        return Reading((), "cut off" if cut_off else "empty")
    tokens = tokens_of(text)
    if not any(token.code in "tnx" for token in tokens) and not _REFUSAL.search(text.lower()):
        tokens = tokens_of(text, quotations=True)
    pairs = _pairs(tokens)
    if not pairs:
        return Reading((), _why_none(text, tokens))
    scales = _scales(duration, fps, bins, any(token.code == "f" for token in tokens))
    try:
        moments = tuple(dict.fromkeys(_moment(*pair, scales) for pair in pairs))
    except _UnknownUnit as unknown:
        return Reading((), unknown.args[0])
    if all(start >= end for start, end in moments):
        return Reading((), "backwards")
    return Reading(moments, "")


def _what_is_said(text: str) -> tuple[str, bool]:
    """The answer without thoughts, or the part that is called so; whether it was cut off before."""
    text = _THOUGHT.sub("", text)
    if _THINKING.search(text):
        return "", True
    final = _FINAL.match(text)
    if final and any(map(str.isdigit, said := _CLOSED.sub("", text[final.end() :]))):
        text = said
    return text, False


def _pairs(tokens: list[Token]) -> list[tuple[Token, Token, bool]]:
    """The two times of each moment, and whether the second one is a length."""
    tokens = [token for token in tokens if token.code != "f"]
    codes = "".join(token.code for token in tokens)
    while aside := _ASIDE.search(codes):
        codes = codes[: aside.start()] + codes[aside.end() :]
        del tokens[aside.start() : aside.end()]
    pairs = []
    for match in list(_RULES.finditer(codes)) or [_TWO.fullmatch(codes)]:
        if match:
            inside = tokens[match.start() : match.end()]
            first, second = [token for token in inside if token.code in "tn"][:2]
            pairs.append((first, second, match.re is _RULES and match["long"] is not None))
    return pairs


def _why_none(text: str, tokens: list[Token]) -> str:
    """The reason of an answer without moments."""
    times = sum(token.code in "tn" for token in tokens)
    if any(token.code == "x" for token in tokens):
        return "clock"
    if _REFUSAL.search(text.lower()):
        return "refusal"
    return ("no time", "one time")[times] if times < 2 else "not joined"


@lru_cache(maxsize=4096)
def _scales(duration: float, fps: float, bins: float, frames: bool) -> dict[str, Decimal | str]:
    """The seconds of each unit, or why they are not known; `frames` of a plain number too."""
    known = math.isfinite(duration)
    whole = Decimal(duration) if known else None
    part = "duration" if whole is None else whole / Decimal(bins or 1)
    frame = part if bins else 1 / Decimal(fps) if fps else "frames"
    return SECONDS | {
        "percent": "duration" if whole is None else whole / 100,
        "frame": frame,
        "": frame if frames or fps or bins else Decimal(1),
    }


def _moment(
    first: Token, second: Token, is_length: bool, scales: dict[str, Decimal | str]
) -> tuple[float, float]:
    """Start and end in seconds. Raises _UnknownUnit."""
    start, other = _in_seconds(first, second, scales), _in_seconds(second, first, scales)
    return float(start), float(start + other if is_length else other)


def _in_seconds(time: Token, other: Token, scales: dict[str, Decimal | str]) -> Decimal:
    """A time in seconds; a plain number has the unit of the other time. Raises _UnknownUnit."""
    scale = scales[time.unit or ("" if other.unit == "clock" else other.unit)]
    if isinstance(scale, str):
        raise _UnknownUnit(scale)
    return time.value * scale
