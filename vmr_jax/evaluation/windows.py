"""Moments of a trained run in a video longer than it reads, by windows that overlap by half."""

from collections.abc import Sequence

import numpy as np

from vmr_jax.evaluation.predictor import Predictor
from vmr_jax.metrics.moments import temporal_iou
from vmr_jax.types import Moment

_OVERLAP = 0.5  # IoU above which the lower one of two moments goes


def predict_in_windows(
    predictor: Predictor,
    features: np.ndarray,
    sentences: Sequence[str],
    *,
    duration: float,
    top_k: int | None = None,
) -> list[list[Moment]]:
    """The moments of sentences in a video's features (n, F), best first, a list each.

    As `Predictor.predict`, but of more clips than the run reads nothing is cut: windows of so many
    are asked, each half a window after the one before. A moment counts in the window whose middle
    is nearest to its own, so that one of up to half a window comes out whole, wherever it lies; of
    two with an IoU above 0.5 the better one stays. Scores of all windows are taken as comparable.
    Raises as `Predictor.predict`.
    """
    count, most = len(features), predictor.spec.max_clips
    if count <= most or predictor.config.target.clip_sampling != "cut":
        return predictor.predict(features, list(sentences), duration=duration, top_k=top_k)
    seconds = duration / count
    starts = [*range(0, count - most, max(1, most // 2)), count - most]
    middles = np.array([start + most / 2 for start in starts]) * seconds
    found: list[list[Moment]] = [[] for _ in sentences]
    for place, start in enumerate(starts):
        part = features[start : start + most]
        moments = predictor.predict(part, list(sentences), duration=most * seconds)
        for kept, ranked in zip(found, moments, strict=True):
            shifted = [_later(moment, start * seconds) for moment in ranked]
            kept += [one for one in shifted if _nearest(middles, one) == place]
    return [_distinct(moments)[:top_k] for moments in found]


def _later(moment: Moment, seconds: float) -> Moment:
    return Moment(moment.start_s + seconds, moment.end_s + seconds, moment.score)


def _nearest(middles: np.ndarray, moment: Moment) -> int:
    """The window whose middle is nearest to that of a moment."""
    return int(np.abs(middles - (moment.start_s + moment.end_s) / 2).argmin())


def _distinct(moments: Sequence[Moment]) -> list[Moment]:
    """Moments, best first, without those that are much the same as a better one."""
    kept: list[Moment] = []
    for one in sorted(moments, key=lambda moment: -moment.score):
        if not kept or temporal_iou(one[:2], [other[:2] for other in kept]).max() <= _OVERLAP:
            kept.append(one)
    return kept
