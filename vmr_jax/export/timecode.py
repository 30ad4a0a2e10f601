"""Frame rates and time codes of editors (SMPTE 12M), with drop-frame counting."""

import math
from fractions import Fraction
from typing import NamedTuple

_NTSC = Fraction(1000, 1001)
_USUAL = tuple(
    Fraction(rate) for rate in (24 * _NTSC, 24, 25, 30 * _NTSC, 30, 48, 50, 60 * _NTSC, 60)
)
_NEAR = (
    0.0005  # of a rate, by which a usual one is taken for it; 24 and 23.976 differ by twice that
)
_UNKNOWN = Fraction(25)
_LARGEST = 999  # frames a second; time codes have two or three digits


class Rate(NamedTuple):
    """Frames a second as editors count them."""

    exact: Fraction
    counted: int  # frames that make a second of time code
    drop: bool  # whether numbers are left out, so that the code follows the clock: 29.97 and 59.94

    def frame(self, seconds: float) -> int:
        """The frame that is nearest to a time."""
        return round(seconds * self.exact)


def rate_of(frames_a_second: float) -> Rate:
    """The usual rate nearest to a video's mean one, else the whole number; 25 where it is NaN."""
    if math.isnan(frames_a_second):
        exact = _UNKNOWN
    else:
        exact = min(_USUAL, key=lambda rate: abs(rate - frames_a_second))
        if abs(exact - frames_a_second) > _NEAR * exact:
            exact = Fraction(min(max(round(frames_a_second), 1), _LARGEST))
    counted = round(exact)
    return Rate(exact, counted, exact.denominator > 1 and counted % 30 == 0)


def timecode(frame: int, rate: Rate) -> str:
    """A frame's number as hh:mm:ss:ff; drop-frame as hh:mm:ss;ff.

    Of each minute but the tenth ones the first 2 numbers (of 59.94: 4) are left out. After 24 hours
    it starts again.
    """
    if rate.drop:
        dropped = rate.counted // 15
        minute, ten_minutes = rate.counted * 60 - dropped, rate.counted * 600 - 9 * dropped
        tens, rest = divmod(frame, ten_minutes)
        frame += dropped * (9 * tens + max(rest - dropped, 0) // minute)
    seconds, number = divmod(frame, rate.counted)
    hours, minutes = seconds // 3600 % 24, seconds // 60 % 60
    mark = ";" if rate.drop else ":"
    return f"{hours:02d}:{minutes:02d}:{seconds % 60:02d}{mark}{number:02d}"
