"""NDCG of ranked moments in a corpus, whose relevance is graded: TVR-Ranking's metric.

A prediction is a row of video, start s, end s, score; a relevant moment of video, start s, end s,
grade. Source: docs/metrics.md, Graded moments; Liang et al., "TVR-Ranking" (2024), evaluation of
Ranking-VMR/TVR-Ranking.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from vmr_jax.metrics.baselines import RANDOM_DRAWS, random_predictions
from vmr_jax.metrics.moments import PerQuery, temporal_iou

RANKS = (10, 20, 40)
THRESHOLDS = (0.3, 0.5, 0.7)
NAMES = tuple(f"NDCG@{k},IoU={m:g}" for m in THRESHOLDS for k in RANKS)


def ndcg_metrics(predictions: PerQuery, relevant: PerQuery) -> dict[str, np.ndarray]:
    """NDCG@k,IoU=m of each of Q queries, (Q,) in [0, 1], under NAMES.

    predictions are Q arrays (K, 4), best first, relevant Q arrays (M, 4). In their order the
    predictions take, each, the relevant moment that is left in their video with the highest IoU, of
    equal ones the higher grade, where that is above m; its grade g gains 2^g - 1, over the
    logarithm of the rank (`_discounted`). That is divided by what the k highest grades would gain
    in their order. A query without a grade above 0 has 0, as one without predictions.

    Raises ValueError for lists of different lengths.
    """
    if len(predictions) != len(relevant):
        raise ValueError(f"{len(predictions)} prediction lists for {len(relevant)} queries")
    found = np.zeros((len(relevant), len(THRESHOLDS), len(RANKS)))
    for query, (rows, true) in enumerate(zip(predictions, relevant, strict=True)):
        rows, true = (np.asarray(x, np.float64).reshape(-1, 4) for x in (rows, true))
        true = true[np.argsort(-true[:, 3], kind="stable")]
        ideal = _discounted(true[:, 3])
        if not ideal.any():
            continue
        rows = rows[: max(RANKS)]
        iou = np.where(
            rows[:, None, 0] == true[:, 0], temporal_iou(rows[:, None, 1:3], true[:, 1:3]), -1.0
        )
        for place, threshold in enumerate(THRESHOLDS):
            gained = _discounted(_taken(iou, true[:, 3], threshold))
            found[query, place] = [gained[:k].sum() / ideal[:k].sum() for k in RANKS]
    return dict(zip(NAMES, found.reshape(len(relevant), -1).T, strict=True))


def random_ndcg(durations: ArrayLike, relevant: PerQuery) -> dict[str, np.ndarray]:
    """`ndcg_metrics` of moments of random videos, the mean of RANDOM_DRAWS draws, (Q,) each.

    `durations` (V,) are those of the corpus, whose rows are the videos of `relevant`.
    """
    seconds, count = np.asarray(durations, np.float64), max(RANKS)
    draws = []
    for seed in range(RANDOM_DRAWS):
        rng = np.random.default_rng(seed)
        video = rng.integers(len(seconds), size=len(relevant) * count)
        moments = random_predictions(seconds[video], 1, seed)[:, 0]
        rows = np.column_stack([video, moments]).reshape(len(relevant), count, 4)
        draws.append(ndcg_metrics(rows, relevant))
    return {name: np.mean([draw[name] for draw in draws], axis=0) for name in NAMES}


def _taken(iou: np.ndarray, grades: np.ndarray, threshold: float) -> np.ndarray:
    """The grades (K,) that predictions take, by their IoU (K, M) with moments; 0: none."""
    left, found = iou.copy(), np.zeros(len(iou))
    for place in np.flatnonzero((iou > threshold).any(axis=1)):
        best = int(left[place].argmax())
        if left[place, best] > threshold:
            found[place] = grades[best]
            left[:, best] = -1.0
    return found


def _discounted(grades: Sequence[float] | np.ndarray) -> np.ndarray:
    """What each of a list of grades gains: (2^g - 1) / log2(1 + rank)."""
    return (2.0 ** np.asarray(grades) - 1) / np.log2(np.arange(len(grades)) + 2)
