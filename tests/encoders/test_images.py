"""Image encoders by name: preprocessing beside a plain one in float64, and sizes."""

from functools import partial
from pathlib import Path

import jax
import numpy as np
import pytest

from vmr_jax.encoders.crop import centre_crop
from vmr_jax.encoders.images import ENCODERS, open_image_encoder, weights_of
from vmr_jax.weights.registry import registry, sets


def bicubic(rows, length):
    """Resize the first axis in float64: Keys' kernel (a = -0.5), wider where it gets shorter."""
    scale = len(rows) / length
    width = max(scale, 1)
    centres = (np.arange(length) + 0.5) * scale - 0.5
    x = np.abs(np.arange(len(rows)) - centres[:, None]) / width
    inner, outer = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    weights = np.where(x < 1, inner, np.where(x < 2, outer, 0))
    return np.tensordot(weights / weights.sum(axis=1, keepdims=True), rows, 1)


def resized_and_cropped(image, size):
    """Hugging Face's CLIPImageProcessor, but for its normalisation, in float64, rounded."""
    height, width = image.shape[:2]
    short = min(height, width)
    tall = bicubic(image.astype(float), int(size * height / short))
    both = bicubic(tall.swapaxes(0, 1), int(size * width / short)).swapaxes(0, 1)
    top, left = (both.shape[0] - size) // 2, (both.shape[1] - size) // 2
    return both[top : top + size, left : left + size].clip(0, 255).round()


@pytest.mark.parametrize("shape", [(240, 320), (320, 241), (64, 64), (301, 533), (101, 37)])
@pytest.mark.parametrize("size", [224, 32])
def test_preprocessing_is_bicubic_with_antialias_within_a_level(shape, size):
    y, x = np.mgrid[: shape[0], : shape[1]]
    waves = np.sin(x / 3)[..., None] * [1, 0.5, 0] + np.cos(y / 2)[..., None] * [0, 0.4, 1]
    image = (127.5 + 120 * waves / np.abs(waves).max()).astype(np.uint8)
    found = centre_crop(image, size)
    assert found.shape == (size, size, 3) and found.dtype == np.uint8
    assert np.abs(found - resized_and_cropped(image, size)).max() <= 1


def test_a_line_is_no_image():
    with pytest.raises(ValueError, match="frames of 1000 x 2 have no middle to cut out"):
        centre_crop(np.zeros((2, 1000, 3), np.uint8), 32)


def test_an_unknown_encoder_names_the_known():
    with pytest.raises(ValueError, match="no image encoder 'clip'; known are clip-vit-b32, "):
        open_image_encoder("clip", None)


@pytest.mark.parametrize(
    "name, tokens, projection",
    [("vit-b32", 50, 512), ("vit-b16", 197, 512), ("vit-l14", 257, 768)],
)
@pytest.mark.parametrize("family", ["clip", "openclip"])
def test_sizes_are_those_of_the_published_checkpoints(family, name, tokens, projection):
    params = jax.eval_shape(ENCODERS[f"{family}-{name}"].init)
    assert params["positions"].shape[0] == tokens
    assert params["projection"].shape[1] == projection


@pytest.mark.parametrize("name", ENCODERS)
def test_weights_are_registered(name):
    kind = ENCODERS[name]
    weights = kind.weights or name
    assert weights in registry() or Path(weights).is_file()
    if kind.others:
        assert set(sets()[name]) == {kind.weights, *kind.others}


def test_weights_that_are_not_here_have_one_command(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(FileNotFoundError) as missing:
        weights_of("concepts-actions")
    assert str(missing.value) == (
        "weights of concepts-actions are not here: `vmr weights get concepts-actions` fetches "
        "them (142 MB)"
    )
    with pytest.raises(FileNotFoundError, match="get imagenet-names all-minilm-l6-v2` fetches"):
        weights_of("concepts", "lite0.pth")
    assert weights_of("clip-vit-b32", "model.safetensors") == Path("model.safetensors")


@pytest.mark.parametrize(
    "name, shape, width",
    [
        ("clip-vit-b32", (), 512),
        ("efficientnet-lite0", (), 1280),
        ("i3d", (16,), 1024),
        ("i3d-logits", (16,), 400),
        ("concepts", (), 384),
        ("concepts-actions", (16,), 384),
    ],
)
def test_rows_have_the_width_that_is_documented(name, shape, width):
    kind = ENCODERS[name]
    images = jax.ShapeDtypeStruct((2, *shape, 224, 224, 3), np.float32)
    encode = partial(kind.encode, dtype=np.float32)
    rows = jax.eval_shape(encode, jax.eval_shape(kind.init), images)
    assert (rows.shape, rows.dtype) == ((2, width), np.float32)
    assert kind.frames == (shape or (1,))[0]
