"""What the numbers of features are like, by a sample of their rows."""

import numpy as np

from vmr_jax.data.sources.features import FeatureSource

_VIDEOS, _ROWS = 256, 8  # that are drawn: videos, and rows of each


def describe_numbers(features: FeatureSource, seed: int = 0) -> str:
    """A line on what makes features hard to learn from, "" where no row can be read.

    It tells the mean cosine of two different rows (near 1: uncentred), the share of zeros, and how
    many dimensions are dead, which is the same number in every row. Rows of zeros have no cosine.
    The sample is drawn by `seed`; videos that cannot be read, hold numbers that are not finite, or
    are of another width than the first, are left out: they are faults of their own.
    """
    rng, parts = np.random.default_rng(seed), []
    videos = sorted(features.ids)
    for place in rng.permutation(len(videos))[:_VIDEOS]:
        try:
            rows = features.read(videos[place])
            rows = rows.reshape(-1, rows.shape[-1])
        except ValueError:
            continue
        rows = rng.permutation(rows)[:_ROWS].astype(np.float64)
        if np.isfinite(rows).all() and (not parts or rows.shape[1] == parts[0].shape[1]):
            parts.append(rows)
    sample = np.concatenate(parts) if parts else np.zeros((0, 0))
    if not len(sample):
        return ""
    dead = int((np.ptp(sample, axis=0) == 0).sum())
    return (
        f"features, by {len(sample):,} sampled rows: mean cosine of two {_mean_cosine(sample)}, "
        f"{100 * (sample == 0).mean():.1f} % zeros, {dead:,} of {sample.shape[1]:,} dimensions dead"
    )


def _mean_cosine(rows: np.ndarray) -> str:
    """Over all pairs of different rows (R, F) that are not zero; a dash where there is none."""
    length = np.linalg.norm(rows, axis=1)
    unit = rows[length > 0] / length[length > 0, None]
    count = len(unit)
    if count < 2:
        return "–"
    return f"{(np.square(unit.sum(axis=0)).sum() - count) / (count * (count - 1)):.3f}"
