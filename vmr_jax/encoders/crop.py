"""An image brought to the size that an encoder takes; JAX is not imported here."""

import numpy as np

_LONGEST = 50  # times the short side


def centre_crop(image: np.ndarray, size: int, short: int = 0, bilinear: bool = False) -> np.ndarray:
    """Bring the short side to `short` and cut the middle out.

    (height, width, 3) -> (size, size, 3); `short` 0 is `size`. Bicubic or bilinear with
    antialiasing, on uint8, by Pillow, as CLIP's own preprocessing. Raises ValueError for an image
    that is a mere line.
    """
    from PIL import Image

    height, width = image.shape[:2]
    least, short = min(height, width), short or size
    if max(height, width) > _LONGEST * least:
        raise ValueError(f"frames of {width} x {height} have no middle to cut out")
    across, down = short * width // least, short * height // least
    left, top = (across - size) // 2, (down - size) // 2
    kernel = Image.Resampling.BILINEAR if bilinear else Image.Resampling.BICUBIC
    resized = Image.fromarray(image).resize((across, down), kernel)
    return np.asarray(resized)[top : top + size, left : left + size]
