"""From a score to the probability that a moment is right, learnt on labelled sentences.

A sentence meets its own video, whose best moment is right where its IoU with a labelled one is 0.5
or more, and as often another video, where nothing is right. A logistic curve of the score is fitted
(Platt, 1999). How far its probabilities can be trusted is told by those of videos that the fit has
not seen.
"""

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from vmr_jax.data.datasets.records import MomentRecord
from vmr_jax.metrics.moments import temporal_iou
from vmr_jax.output_files import write_whole
from vmr_jax.video_index.corpus import CALIBRATION, Corpus

_BINS = 5
_FOLDS = 2
_FEWEST = 20  # right and wrong moments each
_RIGHT = 0.5  # IoU


class Bin(NamedTuple):
    """Moments of videos that the fit had not seen, whose probabilities are near each other."""

    predicted: float  # their mean
    observed: float  # the share that was right
    count: int


def calibrate(corpus: Corpus, labelled: Sequence[MomentRecord], seed: int = 0) -> list[Bin]:
    """Learn the curve, store it in the index, and return its reliability.

    Labels of videos that are not in the index are left out. Raises ValueError where fewer than 20
    moments are right, or wrong.
    """
    videos = [video.id for video in corpus.videos]
    known = [one for one in labelled if one.video_id in set(videos) and len(one.moments)]
    if len(videos) < 2 or not known:
        raise ValueError(
            f"{len(known)} labelled sentences are about videos of the index, which has "
            f"{len(videos)}: label more"
        )
    rng = np.random.default_rng(seed)
    scores, right, groups = [], [], []
    for record in known:
        own = videos.index(record.video_id)
        other = (own + rng.integers(1, len(videos))) % len(videos)
        for number in (own, other):
            best = corpus.search(record.sentence, 1, [videos[number]], "video")[0]
            iou = temporal_iou([best.start_s, best.end_s], record.moments)
            scores.append(best.score)
            right.append(number == own and iou.max() >= _RIGHT)
            groups.append(own % _FOLDS)
    values, truth, fold = np.array(scores), np.array(right, float), np.array(groups)
    if min(truth.sum(), len(truth) - truth.sum()) < _FEWEST:
        raise ValueError(
            f"{int(truth.sum())} of {len(truth)} moments are right; a curve needs {_FEWEST} of each"
        )
    slope, offset = fit(values, truth)
    told = {"slope": slope, "offset": offset, "moments": len(truth), "right": int(truth.sum())}
    told |= {"run": corpus.found_by_run}
    write_whole(corpus.index / CALIBRATION, json.dumps(told) + "\n")
    predicted = np.empty(len(truth))
    for held in range(_FOLDS):
        slope, offset = fit(values[fold != held], truth[fold != held])
        predicted[fold == held] = expit(slope * values[fold == held] + offset)
    return reliability(predicted, truth)


def fit(scores: np.ndarray, right: np.ndarray) -> tuple[float, float]:
    """Slope, not below 0, and offset of the likeliest logistic curve of scores (K,)."""
    centre, scale = scores.mean(), max(float(scores.std()), 1e-12)
    unit = (scores - centre) / scale

    def loss(at: np.ndarray) -> float:
        logits = at[0] * unit + at[1]
        return float(np.sum(np.logaddexp(0, logits) - right * logits)) + 0.5 * at[0] ** 2

    slope, offset = minimize(loss, np.zeros(2), bounds=[(0, None), (None, None)]).x
    return float(slope / scale), float(offset - slope * centre / scale)


def reliability(predicted: np.ndarray, right: np.ndarray) -> list[Bin]:
    """Groups of equal size by the predicted probability, lowest first."""
    order = np.argsort(predicted, kind="stable")
    return [
        Bin(float(predicted[part].mean()), float(right[part].mean()), len(part))
        for part in np.array_split(order, _BINS)
        if len(part)
    ]
