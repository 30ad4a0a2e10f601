"""A small image encoder, and images for it."""

import numpy as np

from vmr_jax.encoders.clip import ClipImageConfig
from vmr_jax.encoders.images import clip

TINY = clip(ClipImageConfig(size=32, patch=16, width=16, layers=1, heads=2, projection=8))


def random_pixels(number: int) -> np.ndarray:
    """Images (number, 32, 32, 3) uint8."""
    return np.random.default_rng(0).integers(0, 256, (number, 32, 32, 3), np.uint8)
