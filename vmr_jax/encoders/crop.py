"""An image brought to the size that an encoder takes; JAX is not imported here."""

import numpy as np

_LONGEST = 50  # times the short side


def centre_crop(image: np.ndarray, size: int) -> np.ndarray:
    """Bring the short side to `size` and cut the middle out: (height, width, 3) -> (size, size, 3).

    Bicubic with antialiasing, on uint8, by Pillow, as CLIP's own preprocessing. Raises ValueError
    for an image that is a mere line.
    """
    from PIL import Image

    height, width = image.shape[:2]
    short = min(height, width)
    if max(height, width) > _LONGEST * short:
        raise ValueError(f"frames of {width} x {height} have no middle to cut out")
    across, down = size * width // short, size * height // short
    left, top = (across - size) // 2, (down - size) // 2
    resized = Image.fromarray(image).resize((across, down), Image.Resampling.BICUBIC)
    return np.asarray(resized)[top : top + size, left : left + size]
