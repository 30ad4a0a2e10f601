"""The image encoders beside PyTorch: the same weights and pixels give the same features."""

import numpy as np
from torch_efficientnet import random_lite0, torch

from vmr_jax.encoders.efficientnet import classify, load_efficientnet


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
