"""Sinusoidal positions of a sequence's rows."""

import numpy as np


def sinusoids(length: int, width: int) -> np.ndarray:
    """Positions (N, D) float32 of N rows: sine in even channels, cosine in odd ones.

    Each row is brought to length 1, so that it weighs as much as a frame at length 1. Source:
    Vaswani et al., 2017, section 3.5, but for that length.
    """
    channel = np.arange(width)
    angle = np.arange(length)[:, None] / 10000.0 ** (2 * (channel // 2) / width)
    rows = np.where(channel % 2 == 0, np.sin(angle), np.cos(angle))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
