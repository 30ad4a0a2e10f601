"""Image encoders by name, each with its sizes and its preprocessing."""

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from vmr_jax.encoders.clip import ClipImage, ClipImageConfig, load_clip_image
from vmr_jax.encoders.crop import centre_crop
from vmr_jax.input_files import require_file
from vmr_jax.types import Array, Params

ENCODERS = {
    "clip-vit-b32": ClipImageConfig(),
    "clip-vit-b16": ClipImageConfig(patch=16),
    "clip-vit-l14": ClipImageConfig(patch=14, width=1024, layers=24, heads=16, projection=768),
}
RANDOM = "random"  # stands for the weights' SHA-256
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

    @property
    def crop(self) -> Callable[[np.ndarray], np.ndarray]:
        """RGB (height, width, 3) uint8 -> (size, size, 3) uint8; other processes may have it."""
        return partial(centre_crop, size=self.config.size)

    def compiled(
        self,
        precision: str = "float32",
        images: Sharding | None = None,
        params: Sharding | None = None,
    ) -> Callable[[np.ndarray], Array]:
        """The function images (B, size, size, 3) uint8 -> features (B, projection) float32.

        `images` and `params` say how these lie on the devices; `precision` is what the layers
        compute in, as `ClipImage`. The features are not L2-normalised. One B is one compilation.
        """
        model = ClipImage(self.config, dtype=jnp.dtype(precision))

        @jax.jit
        def encode(params: Params, pixels: Array) -> Array:
            scaled = (pixels.astype(jnp.float32) / 255 - _MEAN) / _STD
            return model.apply({"params": params}, scaled).image  # pyright: ignore[reportAttributeAccessIssue]

        there = jax.device_put(self.params, params)
        return lambda pixels: encode(there, jax.device_put(pixels, images))


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
