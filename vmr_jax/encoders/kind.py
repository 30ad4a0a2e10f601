"""What an encoder of images, or of snippets of them, is made of."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from vmr_jax.types import Array, Params


class Kind(NamedTuple):
    """How encoders of a kind are made and run.

    `encode` maps parameters, images (B, size, size, 3) float32 from 0 to 255 and what the layers
    compute in to features (B, width) float32; snippets are (B, frames, size, size, 3).
    """

    size: int  # pixels
    normalisation: str  # of pixels, in words
    init: Callable[[], Params]
    load: Callable[[Path], Params]
    encode: Callable[[Params, Array, Any], Array]
    short: int = 0  # pixels, to which the short side is brought before the crop; 0: `size`
    bilinear: bool = False  # else bicubic
    frames: int = 1  # that make a row
    weights: str = ""  # their registered name where it is not the encoder's, or a file that is here
    others: tuple[str, ...] = ()  # registered names of what `load` reads beside them
