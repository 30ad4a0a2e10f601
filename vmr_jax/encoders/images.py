"""Encoders of images and snippets by name, each with its sizes and its preprocessing."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Sharding

from vmr_jax.encoders import concepts, demo, efficientnet, i3d
from vmr_jax.encoders.clip import ClipImage, ClipImageConfig, load_clip_image
from vmr_jax.encoders.crop import centre_crop
from vmr_jax.input_files import digest, require_file
from vmr_jax.types import Array, Params
from vmr_jax.weights.registry import entry, registry, require_weights, weights_path
from vmr_jax.weights.tensor_bundle import data_files, is_bundle

RANDOM = "random"  # stands for the weights' SHA-256
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)  # CLIP's, of RGB from 0 to 1
_STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)


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


def clip(config: ClipImageConfig) -> Kind:
    """CLIP's image encoder; its features are not L2-normalised."""

    def init() -> Params:
        images = jnp.zeros((1, config.size, config.size, 3))
        return jax.jit(ClipImage(config).init)(jax.random.key(0), images)["params"]

    def encode(params: Params, images: Array, dtype: Any) -> Array:
        scaled = (images / 255 - _MEAN) / _STD
        encoder = ClipImage(config, dtype=dtype)
        return encoder.apply({"params": params}, scaled, method="class_token")  # pyright: ignore[reportReturnType]

    load = partial(load_clip_image, config=config)
    return Kind(config.size, "CLIP's mean and deviation", init, load, encode)


def _efficientnet() -> Kind:
    """EfficientNet-Lite0's features before its classifier."""
    return Kind(
        efficientnet.SIZE,
        "(value - 127) / 128",
        efficientnet.init_efficientnet,
        efficientnet.load_efficientnet,
        lambda params, images, dtype: efficientnet.classify(params, images, dtype).features,
    )


def _i3d(part: str) -> Kind:
    """I3D's "features" before its classifier, or its "logits"."""
    return Kind(
        i3d.SIZE,
        "value / 127.5 - 1",
        i3d.init_i3d,
        i3d.load_i3d,
        lambda params, frames, dtype: getattr(i3d.recognise(params, frames, dtype), part),
        short=i3d.SHORT,
        bilinear=True,
        frames=i3d.FRAMES,
        weights="i3d",
    )


def _demo() -> Kind:
    """Snippets of the rendered world."""
    return Kind(
        demo.SIZE,
        "value / 128 - 1",
        demo.init_demo,
        demo.load_demo,
        demo.encode_snippets,
        frames=demo.FRAMES,
        weights=str(demo.WEIGHTS),
    )


def _objects() -> Kind:
    """A frame's ImageNet classes as a vector of the sentence encoder's space."""

    def encode(params: Params, images: Array, dtype: Any) -> Array:
        logits = efficientnet.classify(params["classifier"], images, dtype).logits
        return concepts.project(logits, params["vectors"])

    names, net = "imagenet-names", _efficientnet()
    return net._replace(
        init=partial(concepts.init_concepts, net.init, efficientnet.CLASSES),
        load=partial(concepts.load_concepts, load=net.load, names=names),
        encode=encode,
        weights="efficientnet-lite0",
        others=(names, concepts.SENTENCES),
    )


def _actions() -> Kind:
    """A snippet's Kinetics-400 classes as a vector of the sentence encoder's space."""

    def encode(params: Params, frames: Array, dtype: Any) -> Array:
        logits = i3d.recognise(params["classifier"], frames, dtype).logits
        return concepts.project(logits, params["vectors"])

    names, net = "kinetics-names", _i3d("logits")
    return net._replace(
        init=partial(concepts.init_concepts, net.init, i3d.CLASSES),
        load=partial(concepts.load_concepts, load=net.load, names=names),
        encode=encode,
        others=(names, concepts.SENTENCES),
    )


_BASE = ClipImageConfig()
_LARGE = ClipImageConfig(patch=14, width=1024, layers=24, heads=16, projection=768)
ENCODERS = {
    "clip-vit-b32": clip(_BASE),
    "clip-vit-b16": clip(_BASE._replace(patch=16)),
    "clip-vit-l14": clip(_LARGE),
    "openclip-vit-b32": clip(_BASE._replace(quick=False)),
    "openclip-vit-b16": clip(_BASE._replace(patch=16, quick=False)),
    "openclip-vit-l14": clip(_LARGE._replace(quick=False)),
    "efficientnet-lite0": _efficientnet(),
    "i3d": _i3d("features"),
    "i3d-logits": _i3d("logits"),
    "concepts": _objects(),
    "concepts-actions": _actions(),
    "demo": _demo(),
}


class ImageEncoder(NamedTuple):
    """An encoder of images or snippets, ready to run."""

    name: str
    weights: str  # the SHA-256 of the file, and of all that were read beside it; or RANDOM
    kind: Kind
    params: Params

    @property
    def preprocessing(self) -> str:
        """What is done to an image, in words."""
        kind = self.kind
        snippets = f"snippets of {kind.frames} frames, " if kind.frames > 1 else ""
        crop = f"centre crop of {kind.size}" if kind.short else "centre crop"
        return (
            f"{snippets}short side to {kind.short or kind.size} "
            f"({'bilinear' if kind.bilinear else 'bicubic'}, antialiased), {crop}, "
            f"{kind.normalisation}"
        )

    @property
    def crop(self) -> Callable[[np.ndarray], np.ndarray]:
        """RGB (height, width, 3) uint8 -> (size, size, 3) uint8; other processes may have it."""
        kind = self.kind
        return partial(centre_crop, size=kind.size, short=kind.short, bilinear=kind.bilinear)

    def compiled(
        self,
        precision: str = "float32",
        images: Sharding | None = None,
        params: Sharding | None = None,
    ) -> Callable[[np.ndarray], Array]:
        """The function images (B, size, size, 3) uint8 -> features (B, width) float32.

        Snippets are (B, frames, size, size, 3). `images` and `params` say how these lie on the
        devices; `precision` is what the layers compute in. One B is one compilation.
        """
        dtype = jnp.dtype(precision)

        @jax.jit
        def encode(params: Params, pixels: Array) -> Array:
            return self.kind.encode(params, pixels.astype(jnp.float32), dtype)

        there = jax.device_put(self.params, params)
        return lambda pixels: encode(there, jax.device_put(pixels, images))


def open_image_encoder(name: str, weights: Path | None) -> ImageEncoder:
    """Make the encoder of this name, of a weight file; of random weights without one.

    Raises ValueError for an unknown name, and as the kind's `load` for the file.
    """
    kind = kind_of(name)
    if weights is None:
        return ImageEncoder(name, RANDOM, kind, kind.init())
    params = kind.load(require_file(weights, "weights"))
    return ImageEncoder(name, weights_digest(name, weights), kind, params)


def weights_digest(name: str, weights: Path) -> str:
    """The SHA-256 of an encoder's weight file, and of the others that are read beside it."""
    beside = [
        other.place(file) for other in map(entry, kind_of(name).others) for file in other.files
    ]
    numbers = data_files(weights) if is_bundle(weights) else []
    files = (weights, *numbers, *beside)
    return " ".join(digest(require_file(path, "weights")) for path in files)


def weights_of(name: str, given: str = "") -> Path:
    """The weight file of an encoder: `given` as a path or a registered name, or its own.

    Raises FileNotFoundError that names all registered weights it needs that are not here, and
    ValueError for an unknown encoder.
    """
    kind = kind_of(name)
    named = given or kind.weights or name
    registered = named in registry() and not Path(named).exists()
    require_weights(name, [named, *kind.others] if registered else kind.others)
    return weights_path(named)


def kind_of(name: str) -> Kind:
    """What encoders of this name are. Raises ValueError for an unknown one."""
    if name not in ENCODERS:
        raise ValueError(f"no image encoder {name!r}; known are {', '.join(ENCODERS)}")
    return ENCODERS[name]
