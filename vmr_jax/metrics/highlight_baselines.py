"""Saliency that sees neither video nor query: at random, and by the place in the video."""

from collections.abc import Sequence

import numpy as np

from vmr_jax.metrics.highlights import highlight_metrics

STEPS = 40  # of the video, as the location prior of moments has them
DRAWS = 5  # whose means over 1,550 queries spread by 0.1 points (mAP) and 0.8 (Hit1)


def fit_position_prior(ratings: Sequence[np.ndarray]) -> np.ndarray:
    """How good clips are rated by their place, (STEPS,), from the start of a video to its end.

    `ratings` are Q arrays (C, A) of training queries, whose ratings, the mean over annotators and
    linear between the middles of clips, count alike. Queries without ratings, C = 0, teach nothing.
    Raises ValueError where none has any.
    """
    rated = [own.mean(axis=1) for own in ratings if len(own)]
    if not rated:
        raise ValueError(f"none of {len(ratings)} training queries has ratings to learn from")
    return np.mean([np.interp(_middles(STEPS), _middles(len(own)), own) for own in rated], axis=0)


def position_prior_saliency(prior: np.ndarray, clips: Sequence[int]) -> list[np.ndarray]:
    """The prior (STEPS,) at the clips of Q videos: Q arrays (C,)."""
    return [np.interp(_middles(count), _middles(len(prior)), prior) for count in clips]


def random_saliency(clips: Sequence[int], seed: int) -> list[np.ndarray]:
    """Uniform saliency of the clips of Q videos: Q arrays (C,)."""
    drawn = np.random.default_rng(seed).uniform(size=int(np.sum(clips)))
    return np.split(drawn, np.cumsum(clips)[:-1])


def highlight_baseline_values(
    ratings: Sequence[np.ndarray], training: Sequence[np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """`highlight_metrics` of each of Q queries without looking: "random", "location_prior".

    "random" is the mean of DRAWS draws; "location_prior" is learnt from the `training`
    split's ratings, and left out where it has none.
    """
    clips = [len(own) for own in ratings]
    draws = [highlight_metrics(random_saliency(clips, seed), ratings) for seed in range(DRAWS)]
    found = {"random": {name: np.mean([one[name] for one in draws], axis=0) for name in draws[0]}}
    if any(map(len, training)):
        guesses = position_prior_saliency(fit_position_prior(training), clips)
        found["location_prior"] = highlight_metrics(guesses, ratings)
    return found


def _middles(count: int) -> np.ndarray:
    """The middles of `count` equal parts of [0, 1]."""
    return (np.arange(count) + 0.5) / count
