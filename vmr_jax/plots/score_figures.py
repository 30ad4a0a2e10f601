"""Figures of a scored prediction file: what they show as JSON, and the same as PNG."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from vmr_jax.evaluation.labels import Labels
from vmr_jax.metrics.moments import RANKS, pad_truths, rank_predictions, reaches, temporal_iou
from vmr_jax.output_files import write_whole
from vmr_jax.plots import score_drawing
from vmr_jax.plots.drawing import save

_CELLS = 20  # of the map of locations, along each axis
_BINS = 10  # of the scores
_HIT = 0.5  # the IoU from which a moment is right
_ERROR_BINS = 41


def write_score_figures(folder: Path, windows: list[np.ndarray], labels: Labels) -> list[Path]:
    """Draw the figures of ranked predictions, Q arrays (K, 3): FOLDER/<figure>.png and .json.

    recall, boundaries, locations, and calibration where all first scores are between 0 and 1.
    Returns the PNG files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    for name, content in score_content(windows, labels).items():
        write_whole(folder / f"{name}.json", json.dumps(content, allow_nan=False) + "\n")
        pictures.append(folder / f"{name}.png")
        save(score_drawing.DRAWN[name], content, pictures[-1])
    return pictures


def score_content(windows: list[np.ndarray], labels: Labels) -> dict[str, dict[str, Any]]:
    """What each figure shows, by its name.

    recall: R@n over IoU thresholds. boundaries: start and end of the first prediction minus those
    of the truth that it meets best, in seconds. calibration: the share of first predictions that
    are right (IoU 0.5) by their score, and the expected calibration error. locations: how the
    first predictions and the truths lie over start and end, as shares of the video.
    """
    ranked, true = rank_predictions(windows, max(RANKS)), pad_truths(labels.truths)
    iou = temporal_iou(ranked[:, :, None, :2], true[:, None])  # (Q, n, A)
    about = {"title": labels.name, "queries": len(true)}
    first, met = ranked[:, 0], true[np.arange(len(true)), iou[:, 0].argmax(axis=1)]
    given = np.isfinite(first[:, :2]).all(axis=1)
    found = {
        "recall": about | _recall(iou),
        "boundaries": about | _boundaries((first[:, :2] - met)[given]),
        "locations": about | _locations(first[given], labels.durations[given], true, labels),
    }
    scores = first[given, 2]
    if len(scores) and ((scores >= 0) & (scores <= 1)).all():
        found["calibration"] = about | _calibration(scores, reaches(iou[given, 0].max(-1), _HIT))
    return found


def _recall(iou: np.ndarray) -> dict[str, Any]:
    """R@n at IoU thresholds from 0.02 to 1, of IoUs (Q, n, A)."""
    levels = np.arange(1, 51) / 50
    best = {n: iou[:, :n].max(axis=(1, 2)) for n in RANKS}
    return {
        "iou": levels.tolist(),
        **{f"R@{n}": [100 * float(reaches(best[n], m).mean()) for m in levels] for n in RANKS},
    }


def _boundaries(errors: np.ndarray) -> dict[str, Any]:
    """Histograms of errors (Q, 2) in seconds; those beyond the last edges are in the last bins."""
    far = float(np.percentile(np.abs(errors), 95)) if errors.size else 0.0
    edges = np.linspace(-1, 1, _ERROR_BINS + 1) * max(far, 1.0)
    inside = np.clip(errors, edges[0], edges[-1])
    return {
        "edges_s": edges.tolist(),
        **{
            name: {
                "counts": np.histogram(inside[:, place], edges)[0].tolist(),
                "median_s": _median(errors[:, place]),
                "median_absolute_s": _median(np.abs(errors[:, place])),
            }
            for place, name in enumerate(("start", "end"))
        },
    }


def _median(values: np.ndarray) -> float | None:
    """The median, None where there is nothing."""
    return float(np.median(values)) if len(values) else None


def _calibration(scores: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Bins of equal width: how many scores (Q,), their mean, the share that is right; and ECE."""
    place = np.minimum((scores * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(place, minlength=_BINS)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, scores, _BINS) / counts
        share = np.bincount(place, right, _BINS) / counts
    filled = counts > 0
    gaps = counts[filled] * np.abs(mean[filled] - share[filled])
    return {
        "iou": _HIT,
        "ece": float(gaps.sum() / counts.sum()),
        "counts": counts.tolist(),
        "mean_score": [float(x) if there else None for x, there in zip(mean, filled, strict=True)],
        "share_right": [
            float(x) if there else None for x, there in zip(share, filled, strict=True)
        ],
    }


def _locations(
    first: np.ndarray, durations: np.ndarray, true: np.ndarray, labels: Labels
) -> dict[str, Any]:
    """Shares of first predictions and truths in cells of start and end, and what they share."""
    query, place = np.nonzero(~np.isnan(true[..., 0]))
    of = {
        "predictions": first[:, :2] / durations[:, None],
        "truths": true[query, place] / labels.durations[query, None],
    }
    shares = {name: _cells(moments) for name, moments in of.items()}
    common = np.minimum(shares["predictions"], shares["truths"]).sum()
    return {
        "edges": np.linspace(0, 1, _CELLS + 1).tolist(),
        **{name: cells.tolist() for name, cells in shares.items()},  # [start cell][end cell]
        "common": float(common),
    }


def _cells(moments: np.ndarray) -> np.ndarray:
    """The share of moments (N, 2), relative to the video, in each cell of start and end."""
    known = moments[np.isfinite(moments).all(axis=1)]
    counts, _, _ = np.histogram2d(*np.clip(known, 0, 1).T, bins=_CELLS, range=[[0, 1], [0, 1]])
    return counts / max(counts.sum(), 1)
