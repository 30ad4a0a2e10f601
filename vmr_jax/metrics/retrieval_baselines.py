"""The baselines `random` and `location_prior` for a corpus: neither sees videos or queries.

Both rank the videos by chance, and place one moment in each. So a video is among the first K of V
with the probability min(K, V) / V, and VCMR's recall is that times the recall of the moment in
the true video.
"""

import numpy as np
from numpy.typing import ArrayLike

from vmr_jax.metrics.baselines import (
    RANDOM_DRAWS,
    fit_location_prior,
    location_prior_predictions,
    random_predictions,
)
from vmr_jax.metrics.moments import PerQuery, has_valid_truth, reaches
from vmr_jax.metrics.retrieval import RANKS, THRESHOLDS, agreed_iou, first_place, recalls


def random_corpus_metrics(
    truths: PerQuery, durations: ArrayLike, videos: int, *, seed: int = 0
) -> dict[str, float]:
    """The metrics of `corpus_metrics` for random videos and random moments, in percent.

    truths are Q arrays (A, 2) in seconds, durations (Q,) of the true videos in seconds, `videos`
    the size V of the corpus. Moments are `random_predictions`. VR is in closed form. SVMR is the
    mean of RANDOM_DRAWS draws, draw i of seed `seed + i`, and VCMR is in closed form from SVMR's
    R@1. Raises ValueError where V is not positive.
    """
    draws = [
        _in_true_video(random_predictions(durations, max(RANKS), seed + i), truths)
        for i in range(RANDOM_DRAWS)
    ]
    recall = {name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]}
    return _with_random_videos(recall, videos)


def location_prior_corpus_metrics(
    prior: np.ndarray, truths: PerQuery, durations: ArrayLike, videos: int
) -> dict[str, float]:
    """The metrics of `corpus_metrics` for the location prior, in percent.

    `prior` (k, 2) is `fit_location_prior`'s, truths, durations and `videos` as in
    `random_corpus_metrics`. SVMR ranks its k moments in the true video. VCMR, in closed form, is
    the expectation for the first of them in random videos, and VR that of random videos.
    """
    rows = location_prior_predictions(prior, durations)
    return _with_random_videos(_in_true_video(rows, truths), videos)


def corpus_baselines(
    truths: PerQuery,
    durations: ArrayLike,
    videos: int,
    training: tuple[PerQuery, np.ndarray] | None,
) -> dict[str, dict[str, float]]:
    """What to set beside a model: "random", and "location_prior" where it can be learnt.

    `training` holds the training split's truths and durations. Where it is None, or none of its
    queries has a valid moment, "location_prior" is left out.
    """
    found = {"random": random_corpus_metrics(truths, durations, videos)}
    if training is not None and has_valid_truth(training[0]).any():
        prior = fit_location_prior(*training, max(RANKS))
        found["location_prior"] = location_prior_corpus_metrics(prior, truths, durations, videos)
    return found


def _in_true_video(rows: np.ndarray, truths: PerQuery) -> dict[str, float]:
    """SVMR of moments (Q, K, 3), best first, that all lie in the true video."""
    iou = agreed_iou(rows[..., :2], truths)
    place = np.broadcast_to(np.arange(1, iou.shape[1] + 1), iou.shape)
    metrics = {}
    for p in THRESHOLDS:
        metrics |= recalls(first_place(reaches(iou, p), place), f"SVMR/R@{{}},IoU={p:g}")
    return {name: 100 * float(np.mean(values)) for name, values in metrics.items()}


def _with_random_videos(single: dict[str, float], videos: int) -> dict[str, float]:
    """Add to SVMR what a random order of the videos gives: VR before it, VCMR after it."""
    if videos < 1:
        raise ValueError(f"a corpus of {videos} videos: it needs at least one")
    chance = {k: min(k, videos) / videos for k in RANKS}
    metrics = {f"VR/R@{k}": 100 * chance[k] for k in RANKS}
    metrics["VR/SumR"] = sum(metrics.values())
    metrics |= single
    for p in THRESHOLDS:
        for k in RANKS:
            metrics[f"VCMR/R@{k},IoU={p:g}"] = chance[k] * single[f"SVMR/R@1,IoU={p:g}"]
    return metrics
