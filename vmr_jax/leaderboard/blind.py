"""The baselines that see neither video nor query, query by query, to stand beside the entries."""

import numpy as np

from vmr_jax.evaluation.labels import Labels, ratings_of
from vmr_jax.evaluation.predictions import Predictions
from vmr_jax.evaluation.query_values import query_values
from vmr_jax.metrics.baselines import (
    RANDOM_DRAWS,
    fit_location_prior,
    location_prior_predictions,
    random_predictions,
)
from vmr_jax.metrics.didemo import moment_frequency_prior, random_rankings
from vmr_jax.metrics.highlight_baselines import highlight_baseline_values
from vmr_jax.metrics.moments import RANKS, has_valid_truth


def blind_values(labels: Labels) -> dict[str, dict[str, np.ndarray]]:
    """The metrics of each query, (Q,) in [0, 1]: "random", the mean of its draws, and, where there
    is a training split to learn from, "location_prior"; of moments, and of highlights where clips
    are rated."""
    of_didemo, queries = labels.annotations.name == "didemo", len(labels.records)
    draws = [
        random_rankings(queries, seed)
        if of_didemo
        else random_predictions(labels.durations, max(RANKS), seed)
        for seed in range(RANDOM_DRAWS)
    ]
    found = {"random": _mean([_values(windows, labels) for windows in draws])}
    if labels.training and has_valid_truth(labels.training[0]).any():
        if of_didemo:
            windows = [moment_frequency_prior(labels.training[0])] * queries
        else:
            prior = fit_location_prior(*labels.training, max(RANKS))
            windows = location_prior_predictions(prior, labels.durations)
        found["location_prior"] = _values(windows, labels)
    ratings = ratings_of(labels.records)
    if any(map(len, ratings)):
        for name, own in highlight_baseline_values(ratings, labels.training_ratings).items():
            found.setdefault(name, {}).update(own)
    return found


def _values(windows, labels: Labels) -> dict[str, np.ndarray]:
    """The metrics of Q arrays (K, 3) of predictions."""
    ids = (record.query_id for record in labels.records)
    return query_values(Predictions(dict(zip(ids, windows, strict=True)), {}), labels).all


def _mean(draws: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.mean([found[name] for found in draws], axis=0) for name in draws[0]}
