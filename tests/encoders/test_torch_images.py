"""The image encoders beside PyTorch and transformers: the same weights, films and features."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest
from torch_cases import clip_model, openai_names, transformers
from torch_efficientnet import random_lite0, torch

from tests.video.films import write_film
from vmr_jax.encoders.clip import ClipImageConfig
from vmr_jax.encoders.crop import centre_crop
from vmr_jax.encoders.efficientnet import classify, load_efficientnet
from vmr_jax.encoders.images import ImageEncoder, clip
from vmr_jax.video.decode import sample_frames
from vmr_jax.video.sampling import Sampling

_SMALL = ClipImageConfig(width=64, layers=2, heads=4, projection=32)
SIZES = {
    "small": _SMALL,
    "small of open_clip": _SMALL._replace(quick=False),
    "full": ClipImageConfig(),
}


@pytest.fixture(scope="module", params=["drawn", "real"])
def frames(request, tmp_path_factory):
    """Frames of a film: of a drawn one, and of those in VMR_DATA_DIR."""
    if request.param == "drawn":
        films = [tmp_path_factory.mktemp("films") / "a.mp4"]
        write_film(films[0], [index / 10 for index in range(30)], size=(322, 242), noise=True)
    else:
        folder = Path(os.environ.get("VMR_DATA_DIR", "none")) / "sample_video"
        films = sorted(folder.glob("*.mp4"))
        if not films:
            pytest.skip("no sample_video in VMR_DATA_DIR")
    found = [f.image for film in films for f in sample_frames(film, Sampling(fps=0.5))]
    return found[:: max(1, len(found) // 8)][:8]


def test_clip_s_preprocessing_is_that_of_transformers_within_a_level(frames, record_property):
    processor = transformers.CLIPImageProcessor(do_rescale=False, do_normalize=False)
    theirs = np.stack([processor(images=frame)["pixel_values"][0] for frame in frames])
    ours = np.stack([centre_crop(frame, 224) for frame in frames]).transpose(0, 3, 1, 2)
    worst = np.abs(ours.astype(float) - theirs).max()
    record_property("levels", float(worst))
    print(f"{len(frames)} frames, {worst:.0f} of 255 levels")
    assert worst <= 1


@pytest.mark.parametrize(
    "size", ["small", "small of open_clip", pytest.param("full", marks=pytest.mark.slow)]
)
def test_clip_s_features_of_a_film_are_those_of_transformers(
    size, frames, tmp_path, record_property
):
    config = SIZES[size]
    text = {"vocab_size": 100, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    vision = {
        "image_size": config.size,
        "patch_size": config.patch,
        "hidden_size": config.width,
        "intermediate_size": 4 * config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "hidden_act": "quick_gelu" if config.quick else "gelu",
    }
    model = clip_model(text, vision, config.projection)
    path = tmp_path / "model.safetensors"
    if config.quick:
        model.save_pretrained(tmp_path)
    else:
        path = tmp_path / "open_clip_pytorch_model.bin"
        torch.save(openai_names(model.state_dict()), path)
    processor = transformers.CLIPImageProcessor()
    pixels = torch.cat([processor(images=x, return_tensors="pt").pixel_values for x in frames])
    with torch.no_grad():
        theirs = model.get_image_features(pixel_values=pixels).pooler_output.numpy()
    kind = clip(config)
    encoder = ImageEncoder("clip", "", kind, kind.load(path))
    ours = jax.device_get(encoder.compiled()(np.stack([*map(encoder.crop, frames)])))
    worst = np.abs(ours - theirs).max()
    record_property("features", float(worst))
    print(f"{len(frames)} frames, {worst:.1e} of {np.abs(theirs).max():.1f}")
    assert worst < 1e-4


def test_efficientnet_lite0_of_a_file_of_before_pytorch_1_6(tmp_path, record_property):
    model, path = random_lite0(), tmp_path / "lite0.pth"
    torch.save(model.state_dict(), path, _use_new_zipfile_serialization=False)
    images = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3)).astype(np.float32)
    with torch.no_grad():
        features, logits = model(torch.from_numpy((images - 127) / 128).permute(0, 3, 1, 2))
    ours = classify(load_efficientnet(path), images)
    for name, one, other in (
        ("features", ours.features, features),
        ("logits", ours.logits, logits),
    ):
        worst = np.abs(np.asarray(one) - other.numpy()).max()
        record_property(name, float(worst))
        print(f"{name}: {worst:.1e} of {other.abs().max():.1f}")
        assert worst < 1e-3
