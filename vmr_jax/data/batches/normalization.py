"""How clip features are normalised: what a domain block names, and the numbers it takes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from vmr_jax.data.tables.dataset import Dataset

# As they are | each native frame at length 1, before the sampling | centred and of deviation 1 |
# the same of sign(x) sqrt(|x|)
NORMALIZATIONS = ("none", "l2", "standardize", "sqrt_standardize")
STANDARDIZED = NORMALIZATIONS[2:]


def normalization_of(settings: Any) -> str:
    """The normalisation that a domain block names, one of NORMALIZATIONS.

    Blocks of older checkpoints have the switch `l2norm` instead, or nothing. Raises ValueError for
    another name.
    """
    name = settings.get("normalize", "l2" if settings.get("l2norm", False) else "none")
    if name not in NORMALIZATIONS:
        raise ValueError(f"normalize is {name!r}; it must be one of {NORMALIZATIONS}")
    return name


def normalize_frames(features: np.ndarray, parts: Sequence[int] = ()) -> np.ndarray:
    """Each frame (n, F) at length 1 as float32; a zero frame stays zero (VDI D14).

    Of joined features each kind is brought to length 1; `parts` are their widths.
    """
    frames = features.astype(np.float32)
    if parts:
        kinds = np.split(frames, np.cumsum(parts)[:-1], axis=1)
        return np.concatenate([normalize_frames(kind) for kind in kinds], axis=1)
    length = np.linalg.norm(frames, axis=1, keepdims=True)
    return frames / np.maximum(length, np.finfo(np.float32).tiny)


def standardizing(dataset: Dataset, normalization: str) -> dict[str, np.ndarray]:
    """What one of STANDARDIZED subtracts and multiplies by: `mean` and `scale`, (F,) float32 each.

    They are those of the dataset's own training split. `scale` is 0 where a dimension never varies
    there: whatever it is elsewhere, a network has not learnt what it means. Raises ValueError for a
    dataset without a training split.
    """
    if dataset.videos.statistics is None:
        raise ValueError(
            f"normalize={normalization!r} needs mean and deviation of the training videos, but "
            f"{dataset.name} was prepared without a training split (train, train_...): use 'l2' "
            "or 'none'"
        )
    raw, sqrt = dataset.videos.statistics
    mean, deviation = sqrt if normalization == "sqrt_standardize" else raw
    scale = np.divide(1, deviation, out=np.zeros_like(deviation), where=deviation > 0)
    return {"mean": mean.astype(np.float32), "scale": scale.astype(np.float32)}
