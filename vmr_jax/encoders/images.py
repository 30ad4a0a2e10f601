"""Image encoders by name, each with its sizes and its preprocessing."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.encoders.clip import ClipImage, ClipImageConfig, load_clip_image
from vmr_jax.input_files import require_file
from vmr_jax.types import Array, Params

ENCODERS = {
    "clip-vit-b32": ClipImageConfig(),
    "clip-vit-b16": ClipImageConfig(patch=16),
    "clip-vit-l14": ClipImageConfig(patch=14, width=1024, layers=24, heads=16, projection=768),
}
RANDOM = "random"  # stands for the weights' SHA-256
_LONGEST = 50  # times the short side
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)  # CLIP's, of RGB from 0 to 1
_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


class ImageEncoder(NamedTuple):
    """An encoder of images, ready to run."""

    name: str
    weights: str  # the file's SHA-256, or RANDOM
    config: ClipImageConfig
    params: Params

    @property
    def preprocessing(self) -> str:
        """What is done to an image, in words."""
        return (
            f"short side to {self.config.size} (bicubic, antialiased), centre crop, CLIP's mean "
            "and deviation"
        )

    def crop(self, image: np.ndarray) -> np.ndarray:
        """RGB (height, width, 3) uint8 -> (size, size, 3) uint8, by `centre_crop`."""
        return centre_crop(image, self.config.size)

    def compiled(self) -> Callable[[np.ndarray], Array]:
        """The function images (B, size, size, 3) uint8 -> features (B, projection) float32.

        The features are not L2-normalised. One B is one compilation.
        """
        model = ClipImage(self.config)

        @jax.jit
        def encode(params: Params, images: Array) -> Array:
            pixels = (images.astype(jnp.float32) / 255 - _MEAN) / _STD
            return model.apply({"params": params}, pixels).image  # pyright: ignore[reportAttributeAccessIssue]

        params = jax.device_put(self.params)
        return lambda images: encode(params, images)


def open_image_encoder(name: str, weights: Path | None) -> ImageEncoder:
    """Make the encoder of this name, of a weight file; of random weights without one.

    Raises ValueError for an unknown name, and as `load_clip_image` for the file.
    """
    if name not in ENCODERS:
        raise ValueError(f"no image encoder {name!r}; known are {', '.join(ENCODERS)}")
    config = ENCODERS[name]
    if weights is None:
        images = jnp.zeros((1, config.size, config.size, 3))
        params = jax.jit(ClipImage(config).init)(jax.random.key(0), images)["params"]
        return ImageEncoder(name, RANDOM, config, params)
    with require_file(weights, "weights").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return ImageEncoder(name, digest, config, load_clip_image(weights, config))


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
