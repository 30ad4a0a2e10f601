"""Tell a system that has learnt nothing: scores that do not vary, results no better than blind."""

from collections.abc import Mapping, Sequence

import numpy as np

SPREAD = 1e-3  # of a query's scores, relative to the largest: below it they are all the same
_ADVICE = (
    "features of uneven scale do that: --config.target.normalize=sqrt_standardize. Or a learning "
    "rate that is too high: --config.optimizer.learning_rate"
)


def signs_of_collapse(
    predictions: Sequence[np.ndarray], report: Mapping, metric: str = "R@1,IoU=0.5"
) -> list[str]:
    """A line for each sign, with what to try.

    `predictions` are Q arrays (K, 3) of start s, end s, score. The scores of a query's moments vary
    by less than SPREAD of the largest, in more than half of the queries; or the metric is below
    location_prior's, which sees neither video nor query, or not above it by its interval.
    """
    said = []
    spread = [_spread(rows[:, 2]) for rows in predictions if len(rows) > 1]
    if spread and np.median(spread) < SPREAD:
        said.append(
            f"warning: the scores of a query's moments are all but equal (they vary by "
            f"{np.median(spread):.1e} of the largest): the system has collapsed. {_ADVICE}"
        )
    blind = report.get("location_prior", {}).get(metric)
    low, _ = report.get("intervals", {}).get("model", {}).get(metric, (np.nan, np.nan))
    if blind is not None and low <= blind:
        said.append(
            f"warning: {metric} {report['model'][metric]:.1f} is not above location_prior "
            f"({blind:.1f}), which sees neither video nor query, beyond its interval: train longer "
            f"(--config.epochs), or {_ADVICE}"
        )
    return said


def _spread(scores: np.ndarray) -> float:
    """How far scores (K,) vary, relative to the largest."""
    largest = np.abs(scores).max()
    return float((scores.max() - scores.min()) / largest) if largest else 0.0
