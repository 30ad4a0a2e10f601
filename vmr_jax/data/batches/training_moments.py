"""The one moment of a query that training learns, where several annotators marked it."""

import numpy as np

from vmr_jax.data.tables.dataset import MomentTable

_SHOWN = 5  # ids listed in a message


def training_moments(table: MomentTable, rule: str, split: str, name: str) -> np.ndarray:
    """The training moment (Q, 2) float32 of each query of a split of dataset `name`.

    `agreed` takes the moment that agrees most with all, by mean IoU. `most_frequent` takes the one
    that most annotators marked, the first of several (PREM P21, as the public code of TVR does for
    DiDeMo).

    Raises:
        ValueError: another rule, or a query has no moment.
    """
    if rule not in _RULES:
        raise ValueError(f"training_moment is {rule!r}; it must be one of {tuple(_RULES)}")
    ids = [i for i, marked in zip(table.query_id, table.moments, strict=True) if not len(marked)]
    if ids:
        dots = ", ..." if len(ids) > _SHOWN else ""
        raise ValueError(
            f"{len(ids)} of {len(table.query_id)} queries of split {split!r} of dataset {name} "
            f"have no labels to train on: {', '.join(ids[:_SHOWN])}{dots}. Mend the labels and "
            "prepare the dataset again, or train on a split with labels"
        )
    return np.stack([_RULES[rule](marked) for marked in table.moments])


def _agreed(marked: np.ndarray) -> np.ndarray:
    """Of (A, 2) marked moments the one with the largest mean IoU with all."""
    start, end = marked.T.astype(np.float64)
    inter = np.minimum(end[:, None], end) - np.maximum(start[:, None], start)
    hull = np.maximum(end[:, None], end) - np.minimum(start[:, None], start)
    iou = np.clip(inter, 0, None) / np.maximum(hull, 1e-9)
    return marked[iou.mean(axis=1).argmax()].astype(np.float32)


def _most_frequent(marked: np.ndarray) -> np.ndarray:
    """Of (A, 2) marked moments the one that occurs most often, the first of several."""
    counts = (marked[:, None] == marked).all(axis=-1).sum(axis=1)
    return marked[counts.argmax()].astype(np.float32)


_RULES = {"agreed": _agreed, "most_frequent": _most_frequent}
