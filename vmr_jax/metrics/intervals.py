"""How far a figure may lie from the truth: bootstrap intervals over the videos of the queries.

Queries of one video share its content: they are drawn together. Sources: Efron's percentile
bootstrap with clusters as units; Fisher's randomisation test of pairs, as Smucker, Allan and
Carterette (CIKM 2007) recommend it for retrieval.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

Name = TypeVar("Name", bound=Hashable)  # of a metric

DRAWS = 2000
COVERAGE = 95  # percent of the draws that lie within an interval
MOST_UNITS = 5000  # more videos than these are drawn in so many groups, put together at random
_CELLS = 2_000_000  # draws by videos that are in memory at once
_EQUAL = 1e-9  # sums nearer than this are equal: their order of addition differs


def bootstrap_intervals(
    values: Mapping[Name, np.ndarray], video: ArrayLike, kept: ArrayLike | None = None
) -> dict[Name, list[float]]:
    """The interval [low, high], in percent, of the mean of each metric's `values` (Q,).

    A query whose value is NaN does not count for this metric. `video` (Q,) are the videos of the
    queries, the units that are drawn; `kept` (Q,) leaves the other queries out of all metrics.
    Of more than MOST_UNITS videos random groups are drawn in their place: the spread of the mean is
    the same. Seeded: the same figures have the same interval. One video alone has none: NaN.
    """
    sums, counts, counts_of = _sums_by_video(values, video, kept)
    if len(sums) < 2:
        return {name: [float("nan")] * 2 for name in values}
    metrics = sums.shape[1]
    both = np.concatenate([sums, counts], axis=1)
    totals = np.concatenate([times @ both for times in _draws(len(sums))])
    with np.errstate(invalid="ignore"):  # a draw may hold no video that counts
        means = 100 * totals[:, :metrics] / totals[:, metrics:][:, counts_of]
    percentile = np.nanpercentile if np.isnan(means).any() else np.percentile
    low, high = percentile(means, [(100 - COVERAGE) / 2, (100 + COVERAGE) / 2], axis=0)
    return {name: [float(a), float(b)] for name, a, b in zip(values, low, high, strict=True)}


def paired_intervals(
    first: Mapping[str, np.ndarray],
    second: Mapping[str, np.ndarray],
    video: ArrayLike,
    kept: ArrayLike | None = None,
) -> dict[str, list[float]]:
    """The interval of `first` minus `second`, in percent points, of the metrics of both.

    An interval that holds 0 resolves no difference. Arguments as in `bootstrap_intervals`.
    """
    return bootstrap_intervals(_differences(first, second), video, kept)


def paired_p_values(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray], video: ArrayLike
) -> dict[str, float]:
    """How likely chance alone makes a difference of the means as large as that of two methods.

    Two-sided, of the metrics of both: the share of DRAWS exchanges of the two methods, for each
    video at random, that make the mean difference at least as large, the observed one counted as
    one of them. Seeded. Arguments as in `bootstrap_intervals`.
    """
    differences = _differences(first, second)
    sums, _, _ = _sums_by_video(differences, video, None)
    observed = np.abs(sums.sum(axis=0))
    rng = np.random.default_rng(0)
    reached = np.ones(len(observed))

    def exchanges(size: int) -> np.ndarray:
        return 1.0 - 2.0 * rng.integers(0, 2, size=(size, len(sums)), dtype=np.int8)

    for signs in _in_blocks(len(sums), exchanges):
        reached += (np.abs(signs @ sums) >= observed - _EQUAL).sum(axis=0)
    return {name: float(p) for name, p in zip(differences, reached / (DRAWS + 1), strict=True)}


def seeds_interval(first: np.ndarray, second: np.ndarray, video: ArrayLike) -> list[float]:
    """The interval of the mean of `first` minus that of `second`, in percent points.

    Both are values (S, Q) of S seeds in Q queries, S of their own. Videos are drawn as in
    `bootstrap_intervals`, the same for both, and seeds for each of the two. Of one seed alone the
    interval knows nothing of what another would give.
    """
    rng = np.random.default_rng(0)
    sums, counts, _ = _sums_by_video(dict(enumerate([*first, *second])), video, None)
    both = np.concatenate([sums, counts], axis=1)  # all queries count: one column of counts
    drawn = np.concatenate([times @ both for times in _draws(len(sums))])
    weights = np.concatenate(
        [
            sign * rng.multinomial(len(own), np.full(len(own), 1 / len(own)), DRAWS) / len(own)
            for sign, own in ((1, first), (-1, second))
        ],
        axis=1,
    )
    differences = 100 * np.sum(weights * drawn[:, :-1], axis=1) / drawn[:, -1]
    low, high = np.percentile(differences, [(100 - COVERAGE) / 2, (100 + COVERAGE) / 2])
    return [float(low), float(high)]


def method_intervals(
    values: Mapping[Any, Mapping[str, np.ndarray]],
    video: ArrayLike,
    kept: ArrayLike | None = None,
) -> dict[Any, dict[str, list[float]]]:
    """The intervals of several methods' metrics, {method: {metric: (Q,)}}, by the same draws.

    With both "model" and "linear_match" also those of their difference, "model - linear_match".
    Arguments as in `bootstrap_intervals`.
    """
    flat = {(method, name): own for method, of in values.items() for name, own in of.items()}
    found: dict[Any, dict[str, list[float]]] = {method: {} for method in values}
    for (method, name), interval in bootstrap_intervals(flat, video, kept).items():
        found[method][name] = interval
    model, linear = values.get("model"), values.get("linear_match")
    if model and linear:
        found["model - linear_match"] = paired_intervals(model, linear, video, kept)
    return found


def _differences(
    first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """`first` minus `second` of each query, of the metrics of both."""
    return {name: first[name] - second[name] for name in first if name in second}


def _sums_by_video(
    values: Mapping[Name, np.ndarray], video: ArrayLike, kept: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sum of each metric over each video's queries, (V, M), and how many of them count.

    The latter as (V, N) for the N different choices of queries that count, with each metric's
    column of it, (M,).
    """
    columns = [np.asarray(column, np.float64) for column in values.values()]
    video = np.asarray(video)
    if kept is not None:
        columns, video = [column[np.asarray(kept)] for column in columns], video[np.asarray(kept)]
    names, place = np.unique(video, return_inverse=True)
    if len(names) > MOST_UNITS:
        place = np.random.default_rng(0).permutation(len(names))[place] % MOST_UNITS
    order, sizes = np.argsort(place, kind="stable"), np.bincount(place)
    first = np.cumsum(sizes) - sizes

    def by_video(column: np.ndarray) -> np.ndarray:
        return np.add.reduceat(column[order], first, dtype=np.float64)

    choices: dict[bytes, int] = {}
    counts, counts_of = [], []
    for column in columns:
        counted = ~np.isnan(column)
        choice = choices.setdefault(counted.tobytes(), len(choices))
        if choice == len(counts):
            counts.append(by_video(counted))
        counts_of.append(choice)
    sums = [by_video(np.where(np.isnan(column), 0.0, column)) for column in columns]
    return np.stack(sums, axis=1), np.stack(counts, axis=1), np.array(counts_of)


def _draws(videos: int) -> Iterator[np.ndarray]:
    """How often each of V videos is drawn in each of DRAWS draws, in blocks (B, V)."""
    rng = np.random.default_rng(0)

    def count(size: int) -> np.ndarray:
        drawn = rng.integers(videos, size=(size, videos), dtype=np.int32)
        drawn += videos * np.arange(size, dtype=np.int32)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * videos)
        return times.reshape(size, videos).astype(np.float64)

    return _in_blocks(videos, count)


def _in_blocks(videos: int, make: Callable[[int], np.ndarray]) -> Iterator[np.ndarray]:
    """DRAWS rows over V videos, made in blocks that fit in memory."""
    block = max(1, _CELLS // videos)
    for first in range(0, DRAWS, block):
        yield make(min(block, DRAWS - first))
