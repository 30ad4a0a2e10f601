"""CLIP's text and image encoders (Radford et al., 2021), as in ViT-B/32."""

from pathlib import Path
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.layers.transformer import TransformerLayer, layer_norm, transformer_stack
from vmr_jax.types import Array, Params
from vmr_jax.weights.fitting import Source, fit_tensors, linear, norm
from vmr_jax.weights.tensors import read_tensors

EPSILON = 1e-5
_EVERYTHING = np.ones((1, 1, 1, 1), bool)  # is attended


class ClipTextConfig(NamedTuple):
    """Sizes of the text encoder; the defaults are ViT-B/32's."""

    vocabulary: int = 49408
    context: int = 77
    width: int = 512
    layers: int = 12
    heads: int = 8
    projection: int = 512


class ClipImageConfig(NamedTuple):
    """Sizes of the image encoder; the defaults are ViT-B/32's."""

    size: int = 224  # pixels
    patch: int = 32  # pixels
    width: int = 768
    layers: int = 12
    heads: int = 12
    projection: int = 512
    quick: bool = True  # OpenAI's activation; False: the exact GELU, as most of open_clip's have


class ImageFeatures(NamedTuple):
    """What the image encoder says of B images, with p = (size / patch)^2 patches row by row."""

    image: Array  # (B, projection) float32, the class token
    patches: Array  # (B, p, projection) float32, through the class token's norm and projection
    raw_patches: Array  # (B, p, width) float32, the last layer's rows (VDI D3, `raw`)


def quick_gelu(x: Array) -> Array:
    """x sigmoid(1.702 x), element by element."""
    return x * jax.nn.sigmoid(1.702 * x)


def exact_gelu(x: Array) -> Array:
    """x times the share of a standard normal variable below x, element by element."""
    return jax.nn.gelu(x, approximate=False)


def _layer(
    config: ClipTextConfig | ClipImageConfig, dtype: Any, quick: bool = True
) -> dict[str, Any]:
    """What a layer of either side is made of."""
    return {
        "width": config.width,
        "heads": config.heads,
        "hidden": 4 * config.width,
        "activation": quick_gelu if quick else exact_gelu,
        "pre_norm": True,
        "epsilon": EPSILON,
        "dtype": dtype,
    }


class ClipText(nn.Module):
    """The text encoder: token ids to one vector a sentence.

    `dtype` is what the layers compute in; parameters, LayerNorm, softmax and output are float32.
    """

    config: ClipTextConfig = ClipTextConfig()
    remat: bool = False
    dtype: Any = jnp.float32

    def setup(self):
        config, init = self.config, nn.initializers.normal
        self.tokens = self.param("tokens", init(0.02), (config.vocabulary, config.width))
        self.positions = self.param("positions", init(0.01), (config.context, config.width))
        self.layers = transformer_stack(config.layers, self.remat, **_layer(config, self.dtype))
        self.final_norm = layer_norm(EPSILON)
        square = (config.width, config.projection)
        self.projection = self.param("projection", init(config.width**-0.5), square)

    def __call__(
        self,
        ids: Array,
        visible: Array | None = None,
        replacement: tuple[Array, Array] | None = None,
    ) -> Array:
        """Token ids (B, M) -> sentence features (B, projection), not normalised.

        The feature is read at the first of the highest ids, which is the end of text. Nothing
        after it has any influence, so M may be less than the context where all sentences are
        shorter. No token attends the tokens where `visible` (B, M) is false; the others keep
        their positions. `replacement` is a mask (B, M) and embeddings, broadcast to (B, M, D),
        that stand for the ids' own where the mask is true. Raises ValueError for M above the
        context.
        """
        length = ids.shape[1]
        if length > self.config.context:
            raise ValueError(
                f"{length} tokens a sentence, but CLIP's text encoder has positions for "
                f"{self.config.context}: tokenise with that context."
            )
        rows = self.tokens[ids]
        if replacement is not None:
            rows = jnp.where(replacement[0][..., None], replacement[1], rows)
        mask = jnp.tril(jnp.ones((1, 1, length, length), bool))
        if visible is not None:
            mask &= visible[:, None, None]
        rows, _ = self.layers((rows + self.positions[:length]).astype(self.dtype), mask, None)
        end = jnp.argmax(ids, axis=1)[:, None, None]
        last = jnp.take_along_axis(rows, end, axis=1)[:, 0]
        return _project(self.final_norm(last), self.projection, self.dtype)


class ClipImage(nn.Module):
    """The image encoder: pixels to one vector an image and one a patch.

    `dtype` is what the layers compute in; parameters, LayerNorm, softmax and output are float32.
    Each layer has parameters of its own: a scan over stacked ones copies them for each batch.
    """

    config: ClipImageConfig = ClipImageConfig()
    dtype: Any = jnp.float32

    def setup(self):
        config, init = self.config, nn.initializers.normal(self.config.width**-0.5)
        self.patch = _Patches(config.patch, config.width, self.dtype)
        self.first = self.param("class_token", init, (config.width,))
        tokens = 1 + (config.size // config.patch) ** 2
        self.positions = self.param("positions", init, (tokens, config.width))
        self.pre_norm = layer_norm(EPSILON)
        layer = _layer(config, self.dtype, config.quick)
        self.layers = [TransformerLayer(**layer) for _ in range(config.layers)]
        self.post_norm = layer_norm(EPSILON)
        self.projection = self.param("projection", init, (config.width, config.projection))

    def __call__(self, images: Array) -> ImageFeatures:
        """Normalised RGB images (B, size, size, 3) -> features, not L2-normalised.

        Raises ValueError for images of another size.
        """
        rows, _ = self.layers[-1](self._below(images), _EVERYTHING, None)
        joint = self._joint(rows)
        return ImageFeatures(joint[:, 0], joint[:, 1:], rows[:, 1:].astype(jnp.float32))

    def class_token(self, images: Array) -> Array:
        """The same images -> `ImageFeatures.image` alone, for less work in the last layer."""
        rows, _ = self.layers[-1](self._below(images), _EVERYTHING, None, 1)
        return self._joint(rows)[:, 0]

    def _below(self, images: Array) -> Array:
        """Images -> the rows (B, 1 + p, width) that the last layer reads."""
        expected = (self.config.size, self.config.size, 3)
        if images.shape[1:] != expected:
            raise ValueError(f"images of shape {images.shape[1:]}, expected {expected}")
        patches = self.patch(images)
        first = jnp.broadcast_to(self.first, (len(images), 1, self.config.width))
        rows = self.pre_norm(jnp.concatenate([first, patches], axis=1) + self.positions)
        rows = rows.astype(self.dtype)
        for layer in self.layers[:-1]:
            rows, _ = layer(rows, _EVERYTHING, None)
        return rows

    def _joint(self, rows: Array) -> Array:
        """Rows of the last layer in the space of text and images."""
        return _project(self.post_norm(rows), self.projection, self.dtype)


class _Patches(nn.Module):
    """A convolution of a patch's size and stride, as one product: on a CPU four times as fast."""

    patch: int
    width: int
    dtype: Any

    @nn.compact
    def __call__(self, images: Array) -> Array:
        """Images (B, S, S, 3) -> rows (B, (S / patch)^2, width) in `dtype`."""
        side = self.patch
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (side, side, 3, self.width))
        count, grid = len(images), images.shape[1] // side
        cut = images.reshape(count, grid, side, grid, side, 3).swapaxes(2, 3)
        rows = cut.reshape(count, grid**2, -1).astype(self.dtype)
        return rows @ kernel.reshape(-1, self.width).astype(self.dtype)


def _project(rows: Array, projection: Array, dtype: Any) -> Array:
    """rows @ projection in `dtype`, as float32."""
    rows, projection = rows.astype(dtype), projection.astype(dtype)
    return jnp.matmul(rows, projection, preferred_element_type=jnp.float32)


def load_clip_text(path: str | Path, config: ClipTextConfig) -> Params:
    """Read the text encoder's parameters from a CLIP file, as float32 NumPy arrays.

    The file is Hugging Face's model.safetensors or pytorch_model.bin, or OpenAI's ViT-B-32.pt.
    Raises FileNotFoundError and ValueError as `read_tensors` and `fit_tensors` do.
    """
    tensors = read_tensors(path)
    shapes = jax.eval_shape(
        ClipText(config).init, jax.random.key(0), jnp.zeros((1, config.context), jnp.int32)
    )
    openai = "positional_embedding" in tensors
    sources = _OPENAI_TEXT if openai else _HUGGING_FACE_TEXT
    return fit_tensors(tensors, sources, shapes["params"], _NO_TEXT, path)


def load_clip_image(path: str | Path, config: ClipImageConfig) -> Params:
    """Read the image encoder's parameters from a CLIP file, as `load_clip_text` does the text's.

    open_clip's files have OpenAI's names.
    """
    tensors = read_tensors(path)
    shapes = jax.eval_shape(
        ClipImage(config).init, jax.random.key(0), jnp.zeros((1, config.size, config.size, 3))
    )
    openai = "visual.positional_embedding" in tensors
    layer, prefix, others = _OPENAI_IMAGE if openai else _HUGGING_FACE_IMAGE
    layers = {f"layers_{i}": layer(f"{prefix}.{i}") for i in range(config.layers)}
    sources = others | layers
    return fit_tensors(tensors, sources, shapes["params"], _NO_IMAGE, path)


def _hugging_face_layer(layer: str) -> dict[str, Any]:
    return {
        "qkv": linear(*(f"{layer}.self_attn.{part}_proj" for part in "qkv")),
        "out": linear(f"{layer}.self_attn.out_proj"),
        "norm1": norm(f"{layer}.layer_norm1"),
        "fc1": linear(f"{layer}.mlp.fc1"),
        "fc2": linear(f"{layer}.mlp.fc2"),
        "norm2": norm(f"{layer}.layer_norm2"),
    }


def _openai_layer(layer: str) -> dict[str, Any]:
    return {
        "qkv": {
            "kernel": Source(f"{layer}.attn.in_proj_weight", axes=(1, 0)),
            "bias": Source(f"{layer}.attn.in_proj_bias"),
        },
        "out": linear(f"{layer}.attn.out_proj"),
        "norm1": norm(f"{layer}.ln_1"),
        "fc1": linear(f"{layer}.mlp.c_fc"),
        "fc2": linear(f"{layer}.mlp.c_proj"),
        "norm2": norm(f"{layer}.ln_2"),
    }


# Tensors of a CLIP file that belong to the other side or hold no weights.
_COMMON = r"logit_scale|input_resolution|context_length|vocab_size|.*\.(position_ids|attn_mask)"
_NO_TEXT = rf"{_COMMON}|vision_model\..*|visual_projection\..*|visual\..*"
_NO_IMAGE = (
    rf"{_COMMON}|text_model\..*|text_projection(\..*)?|transformer\..*|token_embedding\..*"
    r"|positional_embedding|ln_final\..*"
)

_HUGGING_FACE_TEXT = {
    "tokens": Source("text_model.embeddings.token_embedding.weight"),
    "positions": Source("text_model.embeddings.position_embedding.weight"),
    "layers": _hugging_face_layer("text_model.encoder.layers.{}"),
    "final_norm": norm("text_model.final_layer_norm"),
    "projection": Source("text_projection.weight", axes=(1, 0)),
}
_OPENAI_TEXT = {
    "tokens": Source("token_embedding.weight"),
    "positions": Source("positional_embedding"),
    "layers": _openai_layer("transformer.resblocks.{}"),
    "final_norm": norm("ln_final"),
    "projection": Source("text_projection"),
}
_HUGGING_FACE_IMAGE = (
    _hugging_face_layer,
    "vision_model.encoder.layers",
    {
        "patch": {
            "kernel": Source("vision_model.embeddings.patch_embedding.weight", axes=(2, 3, 1, 0))
        },
        "class_token": Source("vision_model.embeddings.class_embedding"),
        "positions": Source("vision_model.embeddings.position_embedding.weight"),
        "pre_norm": norm("vision_model.pre_layrnorm"),
        "post_norm": norm("vision_model.post_layernorm"),
        "projection": Source("visual_projection.weight", axes=(1, 0)),
    },
)
_OPENAI_IMAGE = (
    _openai_layer,
    "visual.transformer.resblocks",
    {
        "patch": {"kernel": Source("visual.conv1.weight", axes=(2, 3, 1, 0))},
        "class_token": Source("visual.class_embedding"),
        "positions": Source("visual.positional_embedding"),
        "pre_norm": norm("visual.ln_pre"),
        "post_norm": norm("visual.ln_post"),
        "projection": Source("visual.proj"),
    },
)
