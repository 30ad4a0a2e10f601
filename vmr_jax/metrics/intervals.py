"""How far a figure may lie from the truth: bootstrap intervals over the videos of the queries.

Queries of one video share its content: they are drawn together. Source: Efron's percentile
bootstrap with clusters as units.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from vmr_jax.metrics.moments import PerQuery, has_valid_truth, query_metrics

DRAWS = 2000
COVERAGE = 95  # percent of the draws that lie within an interval


def bootstrap_intervals(
    values: Mapping[str, np.ndarray], video: ArrayLike, kept: ArrayLike | None = None
) -> dict[str, list[float]]:
    """The interval [low, high], in percent, of the mean of each metric's `values` (Q,).

    `video` (Q,) are the videos of the queries, the units that are drawn; `kept` (Q,) leaves the
    other queries out. Seeded: the same figures have the same interval. One video alone has none:
    NaN.
    """
    sums, counts = _sums_by_video(values, video, kept)
    draws = _draws(len(counts))
    means = 100 * (draws @ sums) / (draws @ counts)[:, None]
    if len(counts) < 2:
        means = np.full_like(means, np.nan)
    low, high = np.percentile(means, [(100 - COVERAGE) / 2, (100 + COVERAGE) / 2], axis=0)
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
    both = {name: first[name] - second[name] for name in first if name in second}
    return bootstrap_intervals(both, video, kept)


def moment_intervals(
    predictions: PerQuery,
    linear_match: PerQuery | None,
    truths: PerQuery,
    durations: ArrayLike,
    video: ArrayLike,
    *,
    drop_invalid_gt: bool = False,
    didemo: str = "",
    **settings,
) -> dict[str, dict[str, list[float]]]:
    """The intervals of `moment_metrics`, and of how much they exceed those of `linear_match`.

    "model", and "model - linear_match" where that is given. Arguments as in `moment_metrics` and
    `bootstrap_intervals`. DiDeMo's own metric, no mean over queries of this kind, has none.
    """
    kept = has_valid_truth(truths) if drop_invalid_gt else None

    def of(rows: PerQuery) -> dict[str, np.ndarray]:
        found = query_metrics(rows, truths, durations, **settings)
        return {name: values for name, values in found.items() if not didemo or name != "mIoU"}

    model = of(predictions)
    found = {"model": bootstrap_intervals(model, video, kept)}
    if linear_match is not None:
        paired = paired_intervals(model, of(linear_match), video, kept)
        found["model - linear_match"] = paired
    return found


def _sums_by_video(
    values: Mapping[str, np.ndarray], video: ArrayLike, kept: ArrayLike | None
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of each metric over each video's queries (V, M), and how many they are (V,)."""
    rows = np.stack([np.asarray(column, np.float64) for column in values.values()], axis=1)
    video = np.asarray(video)
    if kept is not None:
        rows, video = rows[np.asarray(kept)], video[np.asarray(kept)]
    _, place, counts = np.unique(video, return_inverse=True, return_counts=True)
    sums = np.zeros((len(counts), rows.shape[1]))
    np.add.at(sums, place, rows)
    return sums, counts.astype(np.float64)


def _draws(videos: int) -> np.ndarray:
    """How often each of V videos is drawn, (DRAWS, V)."""
    rng = np.random.default_rng(0)
    return rng.multinomial(videos, np.full(videos, 1 / videos), size=DRAWS).astype(np.float64)
