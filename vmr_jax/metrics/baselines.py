"""Two baselines that see neither video nor query: `random` and `location_prior`.

A result means little unless it stands beside them.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from vmr_jax.metrics.didemo import (
    moment_frequency_prior,
    random_rankings,
    split_query_metrics,
)
from vmr_jax.metrics.moments import (
    RANKS,
    PerQuery,
    has_valid_truth,
    pad_truths,
    reaches,
    temporal_iou,
)

RANDOM_DRAWS = 20
GRID_STEPS = 40  # the location prior's boundaries are multiples of 1 / GRID_STEPS
_CELLS = 500_000  # candidates by queries that are compared at once


def random_predictions(durations: ArrayLike, k: int, seed: int) -> np.ndarray:
    """k moments of each of Q videos, (Q, k, 3) of start s, end s, score.

    The two boundaries of a moment are two uniform points of [0, duration], in order.
    """
    durations = np.asarray(durations, np.float64)
    points = np.random.default_rng(seed).uniform(size=(len(durations), k, 2))
    return _scored(np.sort(points, axis=-1) * durations[:, None, None])


def fit_location_prior(train_moments: PerQuery, train_durations: ArrayLike, k: int) -> np.ndarray:
    """The best k query-blind moments, (k, 2) start and end relative to the duration, in order.

    Candidates are all (start, end), start < end, on a grid of GRID_STEPS equal steps. The first
    has the highest R@1,IoU=0.5 on the training moments, the figure that results are judged by
    (chosen by mIoU it would be longer, and far weaker at this IoU); ties go to the larger mean
    IoU, then to the earlier start and end. Each next one raises the recall of the list most in
    the same way. train_moments are Q arrays (A, 2) in seconds (the best of a query's A counts),
    train_durations (Q,) seconds. Queries without a valid moment teach nothing and are left out.

    Raises ValueError when there is nothing to learn from, or more moments are asked for than
    the grid has.
    """
    durations = np.asarray(train_durations, np.float64)
    if len(train_moments) != len(durations) or not len(durations):
        raise ValueError(
            f"the location prior got {len(train_moments)} training queries and {len(durations)} "
            "durations; it needs as many of both, and at least one"
        )
    grid = np.argwhere(np.triu(np.ones((GRID_STEPS + 1, GRID_STEPS + 1)), 1)) / GRID_STEPS
    if not 0 < k <= len(grid):
        raise ValueError(f"k is {k}; the location prior has 1 to {len(grid)} moments")
    labelled = has_valid_truth(train_moments)
    if not labelled.any():
        raise ValueError(f"none of {len(durations)} training queries has a moment to learn from")
    durations = durations[labelled]
    moments = pad_truths(train_moments)[labelled] / durations[:, None, None]
    # Float32 halves the table of IoUs: 12,408 queries by 820 candidates are 41 MB.
    overlap = np.stack([temporal_iou(cell, moments).max(-1).astype(np.float32) for cell in grid])
    blocks = np.array_split(overlap, -(-overlap.size // _CELLS))
    best = np.zeros(len(durations), np.float32)
    chosen: list[int] = []
    for _ in range(k):
        gain = [found for rows in blocks for found in _recall_and_mean(np.maximum(best, rows))]
        free = (cell for cell in range(len(grid)) if cell not in chosen)
        chosen.append(max(free, key=gain.__getitem__))
        best = np.maximum(best, overlap[chosen[-1]])
    return grid[chosen]


def _recall_and_mean(iou: np.ndarray) -> list[list[float]]:
    """R@1,IoU=0.5 and the mean of each row of IoUs (C, Q)."""
    return np.stack([reaches(iou, 0.5).mean(-1), iou.mean(-1, dtype=np.float64)], -1).tolist()


def location_prior_predictions(prior: np.ndarray, durations: ArrayLike) -> np.ndarray:
    """The prior's k moments (k, 2) in each of Q videos, (Q, k, 3) of start s, end s, score."""
    return _scored(prior * np.asarray(durations, np.float64)[:, None, None])


def _scored(moments: np.ndarray) -> np.ndarray:
    """Moments (Q, k, 2) with scores that fall from 1 and keep their order, (Q, k, 3)."""
    queries, k, _ = moments.shape
    scores = np.broadcast_to(1 - np.arange(k)[:, None] / k, (queries, k, 1))
    return np.concatenate([moments, scores], axis=-1)


def baseline_values(
    truths: Sequence[np.ndarray],
    durations: np.ndarray,
    training: tuple[Sequence[np.ndarray], np.ndarray] | None,
    *,
    didemo: str = "",
    **settings,
) -> dict[str, dict[str, np.ndarray]]:
    """The metrics, (Q,) in [0, 1], to set beside a model's: "random" and, learnt, "location_prior".

    "random" is the mean of RANDOM_DRAWS draws. `training` holds the training split's truths and
    durations, `settings` are query_metrics'. Where it is None, or none of its queries has a valid
    moment, "location_prior" is left out. With a `didemo` rule both rank DiDeMo's 21 moments, the
    prior by their frequency in training.
    """
    if training is not None and not has_valid_truth(training[0]).any():
        training = None
    padded = truths if didemo else pad_truths(truths)  # once for all draws

    def of(windows: PerQuery) -> dict[str, np.ndarray]:
        return split_query_metrics(windows, padded, durations, didemo=didemo, **settings)

    most = max(settings.get("ranks", RANKS))
    drawn: dict[str, np.ndarray] = {}
    for seed in range(RANDOM_DRAWS):
        windows = (
            random_rankings(len(truths), seed)
            if didemo
            else random_predictions(durations, most, seed)
        )
        for name, values in of(windows).items():
            drawn[name] = drawn.get(name, 0) + values / RANDOM_DRAWS
    found = {"random": drawn}
    if training is not None and didemo:
        found["location_prior"] = of([moment_frequency_prior(training[0])] * len(truths))
    elif training is not None:
        prior = fit_location_prior(*training, most)
        found["location_prior"] = of(location_prior_predictions(prior, durations))
    return found
