"""Times, and the few words that tell what they mean, in an answer of a language model."""

import re
from decimal import Decimal
from typing import NamedTuple

SECONDS = {
    "clock": Decimal(1),
    "second": Decimal(1),
    "minute": Decimal(60),
    "hour": Decimal(3600),
    "millisecond": Decimal("0.001"),
}
_UNITS = {
    "second": "s sec secs second seconds",
    "minute": "m min mins minute minutes",
    "hour": "h hr hrs hour hours",
    "millisecond": "ms millisecond milliseconds",
    "percent": "% percent",
    "frame": "frame frames",
}
# The words that matter, by the code of their tokens; those of "" are passed over.
_WORDS = {
    "b": "between",
    "s": "from since start starts started starting begin begins began beginning appears onset",
    "e": "end ends ended ending finish finishes finished stop stops stopped until disappears",
    "l": "to through till",
    "a": "and",
    "d": "last lasts lasting lasted duration length",
    "f": "frame frames",
    "": "a about an approx approximately are around at be clip event given happens in interval is "
    "it its json mark moment number occurs of on point query range roughly segment span t temporal "
    "that the this time times timestamp timestamps value video window",
}
_UNIT_OF = {name: unit for unit, names in _UNITS.items() for name in names.split()}
_CODE_OF = dict.fromkeys(_UNIT_OF, "") | {
    word: code for code, words in _WORDS.items() for word in words.split()
}
_UNIT = "|".join(sorted(_UNIT_OF, key=len, reverse=True))
_DIGITS = 30  # of a number, that are read
_LETTER = r"[^\W\d_]"
_TOKEN = re.compile(
    rf"""
    (?P<edge>(?:beginning|start|end)\ of\ the\ (?:video|clip))
    | (?P<clock>\d{{1,4}}(?::\d\d){{1,3}}(?:\.\d+|,\d{{3}}(?!\d))?)(?![\d:])
    | (?P<sign>(?<![\w.])-)?
      (?P<number>(?<![\[(])\d{{1,3}}(?:,\d{{3}})+(?:\.\d+)?(?![\d)\]])|\d+(?:\.\d+)?|\.\d+)
      (?:(?:st|nd|rd|th)\b)?
      (?:\ ?-?(?P<unit>{_UNIT})(?!{_LETTER}))?
    | (?P<word>{_LETTER}[^\W_]*(?:['’]{_LETTER}+)?)
    | (?P<link>-+>|=>|--+|[-–—−~～→])
    | (?P<mark>[()\[\],\n])
    """,
    re.VERBOSE,
)
_CAMEL_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])")
# A quotation, with the plain number whose name it is in JSON.
_QUOTED = re.compile(
    r""""([^"\n]*)"(\s*:\s*-?[\d.]+(?=\s*[,}\n]))?|“([^”\n]*)”|(?<!\w)'([^'\n]*)'(?!\w)"""
)


class Token(NamedTuple):
    """A part of an answer that the grammar knows.

    `code` is t for a time with a unit, n for a plain number, x for what looks like a time of a
    clock and is none, w for a word that does not matter, a key of _WORDS for one that does, or a
    mark: brackets as ( and ), the comma, the end of a line.
    """

    code: str
    value: Decimal = Decimal(0)  # of a time, in its unit
    unit: str = ""  # a key of SECONDS, "percent" of the duration, "frame", or "" of a number


def tokens_of(text: str, quotations: bool = False) -> list[Token]:
    """The tokens of an answer.

    What stands in quotation marks is left out, unless all its words matter or `quotations` asks
    for it: a sentence that is repeated may hold numbers.
    """
    text = _CAMEL_CASE.sub(" ", text).lower().replace("_", " ").replace("*", "")
    found: list[Token] = []
    done = 0
    for quoted in _QUOTED.finditer(text):
        _read(text[done : quoted.start()], found)
        inner: list[Token] = []
        _read(" ".join(filter(None, quoted.groups())), inner)
        if quotations or all(token.code != "w" for token in inner):
            found += inner
        done = quoted.end()
    _read(text[done:], found)
    return found


def _read(text: str, found: list[Token]) -> None:
    """Append the tokens of a text without quotations."""
    for match in _TOKEN.finditer(text):
        kind, part = match.lastgroup, match[0]
        if match["number"]:
            _add_number(match, found)
        elif kind == "clock":
            found.append(_clock(part))
        elif kind == "edge":
            found.append(Token("t", Decimal(100 * part.startswith("end")), "percent"))
        elif kind == "mark":
            found.append(Token({"[": "(", "]": ")"}.get(part, part)))
        elif kind == "word":
            _add_word(_CODE_OF.get(part, "w"), found)
        elif kind == "link" and _follows_time(found):  # else it is a bullet, or in a word
            found.append(Token("l"))


def _add_word(code: str, found: list[Token]) -> None:
    """Append a word's token, once for words of one kind that follow each other."""
    if code and (not found or found[-1].code != code):
        found.append(Token(code))


def _follows_time(found: list[Token]) -> bool:
    return bool(found) and found[-1].code in "tn)"


def _add_number(match: re.Match, found: list[Token]) -> None:
    """Append a number with its unit; "12 seconds" after "1 minute" is added to that."""
    value = Decimal(match["number"].replace(",", "")[:_DIGITS])
    if match["sign"] and _follows_time(found):
        found.append(Token("l"))
    elif match["sign"]:
        value = -value
    unit = _UNIT_OF.get(match["unit"], "")
    before = found[-2:] if found and found[-1].code == "a" else found[-1:]
    if before and unit in SECONDS and 0 <= value * SECONDS[unit] < 60 * SECONDS[unit]:
        larger = before[0]
        if larger.unit in ("minute", "hour") and SECONDS[larger.unit] > SECONDS[unit]:
            value += larger.value * SECONDS[larger.unit] / SECONDS[unit]
            del found[-len(before) :]
    found.append(Token("t" if unit else "n", value, unit))


def _clock(text: str) -> Token:
    """A time as mm:ss or hh:mm:ss, with any decimals; code x where it is none."""
    *larger, seconds = text.replace(",", ".").split(":")
    parts = [*map(Decimal, larger), Decimal(seconds)]
    if len(parts) > 3 or any(part >= 60 for part in parts[1:]):
        return Token("x")
    value = Decimal(0)
    for part in parts:
        value = 60 * value + part
    return Token("t", value, "clock")
