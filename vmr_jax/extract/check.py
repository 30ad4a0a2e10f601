"""Are two files' features of the same videos the same? Row by row, at the best lag."""

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import numpy as np

from vmr_jax.data.sources.features import FeatureSource, open_features
from vmr_jax.data.sources.names import describe_missing, match_names

_LAGS = 5  # rows in both directions
_SHOWN = 20  # videos
_SAME, _NEAR, _ABOVE = 0.999, 0.98, 0.1  # cosines, and how far they lie above those of other rows


class Compared(NamedTuple):
    """A video in both files."""

    video: str
    cosine: float  # the mean over its rows at the best lag
    others: float  # the same of rows half a video apart, which are not of one moment
    lag: int  # rows by which theirs come later
    rows: tuple[int, int]  # ours, theirs


def check(ours: Path, theirs: Path) -> list[str]:
    """Compare our features with someone's: lines to print, the worst videos first.

    A video's rows are compared at the lag, of at most 5 rows, where their mean cosine is highest;
    where there are far more of one kind, each is compared with the one at the same share of the
    video. Raises ValueError and OSError as `open_features`, and where no video is in both.
    """
    one, other = open_features(ours), open_features(theirs)
    names = match_names(other.ids, one.ids)
    if not names:
        raise ValueError(
            f"{ours} and {theirs} have no video in common; there are {_some(one)}, and "
            f"{_some(other)}"
        )
    found, lines = [], []
    for video, name in sorted(names.items()):
        rows = one.read(video).astype(np.float64), other.read(name).astype(np.float64)
        widths = rows[0].shape[1], rows[1].shape[1]
        if widths[0] != widths[1]:
            lines.append(f"{video}: width {widths[0]} here, {widths[1]} there")
            continue
        compared = _compare(video, *rows)
        if compared is None:
            lines.append(f"{video}: no two rows that are not zero")
        else:
            found.append(compared)
    found.sort(key=lambda compared: compared.cosine)
    lines = [*lines[:_SHOWN], *_more(len(lines))]
    lines += [_line(compared) for compared in found[:_SHOWN]] + _more(len(found))
    missing = [video for video in one.ids if video not in names]
    unused = sorted(set(other.ids) - set(names.values()))
    for absent, source, place in ((missing, other, theirs), (unused, one, ours)):
        if absent:
            shown = describe_missing(source.ids, absent[:3]).values()
            lines.append(f"{len(absent):,} videos are not in {place}: {', '.join(shown)}")
    return [*lines, _summary(found, len(names))]


def _compare(video: str, ours: np.ndarray, theirs: np.ndarray) -> Compared | None:
    """Compare a video's rows (N, F) and (M, F); None where none can be."""
    counts = len(ours), len(theirs)
    if not min(counts):
        return None
    ours, theirs = _unit(ours), _unit(theirs)
    if abs(counts[0] - counts[1]) > _LAGS:
        shorter, longer = sorted(counts)
        places = ((np.arange(shorter) + 0.5) * longer / shorter).astype(int)
        ours, theirs = (rows[places] if len(rows) == longer else rows for rows in (ours, theirs))
    cosines = {lag: _cosine(ours, theirs, lag) for lag in sorted(range(-_LAGS, _LAGS + 1), key=abs)}
    best = max(cosines, key=lambda lag: cosines[lag])
    if cosines[best] == -np.inf:
        return None
    other = _cosine(ours, np.roll(theirs, len(theirs) // 2, axis=0), 0)
    return Compared(video, cosines[best], other, best, counts)


def _unit(rows: np.ndarray) -> np.ndarray:
    """Rows at length 1, and NaN for those that have none."""
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.divide(rows, length, out=np.full_like(rows, np.nan), where=length > 0)


def _cosine(ours: np.ndarray, theirs: np.ndarray, lag: int) -> float:
    """The mean cosine of row i and row i + lag; -inf where less than half of the rows have one."""
    ours, theirs = ours[max(0, -lag) :], theirs[max(0, lag) :]
    overlap = min(len(ours), len(theirs))
    cosines = (ours[:overlap] * theirs[:overlap]).sum(axis=1)
    cosines = cosines[~np.isnan(cosines)]
    enough = len(cosines) and 2 * overlap >= min(len(ours), len(theirs)) + abs(lag)
    return float(cosines.mean()) if enough else -np.inf


def _line(compared: Compared) -> str:
    ours, theirs = compared.rows
    said = f"{compared.video}: cosine {compared.cosine:.4f} (other rows {compared.others:.4f})"
    said += f", theirs {compared.lag:+} rows" if compared.lag else ""
    return said + (f", {ours} rows here, {theirs} there" if ours != theirs else "")


def _more(number: int) -> list[str]:
    return [f"… and {number - _SHOWN:,} more"] if number > _SHOWN else []


def _some(source: FeatureSource) -> str:
    return ", ".join([*map(ascii, source.ids[:2]), *["…"] * (len(source.ids) > 2)])


def _summary(found: list[Compared], common: int) -> str:
    """Say what the comparison means."""
    if not found:
        return f"none of {common:,} common videos can be compared: other features"
    cosine = float(np.mean([compared.cosine for compared in found]))
    others = float(np.mean([compared.others for compared in found]))
    lag, times = Counter(compared.lag for compared in found).most_common(1)[0]
    longer = sum(compared.rows[0] != compared.rows[1] for compared in found)
    if cosine >= _SAME:
        meaning = "the same features"
    elif cosine >= _NEAR and cosine > others:
        meaning = "the same encoder, other frames or preprocessing"
    elif cosine > others + _ABOVE:
        meaning = "alike, but not the same"
    else:
        meaning = "not the same features"
    return (
        f"{len(found):,} of {common:,} common videos: mean cosine {cosine:.4f}, lowest "
        f"{found[0].cosine:.4f}, of other rows {others:.4f}; lag {lag} in {times:,}, another "
        f"number of rows in {longer:,}: {meaning}"
    )
