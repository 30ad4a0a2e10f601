"""EfficientNet-Lite0's layer beside its equation; the whole network: test_torch_images.py."""

import jax
import numpy as np
import pytest

from vmr_jax.encoders.efficientnet import STAGES, ConvNorm, init_efficientnet


@pytest.mark.parametrize("depthwise", [False, True])
def test_a_layer_pads_at_the_end_normalises_and_clips(depthwise):
    rng = np.random.default_rng(0)
    images = rng.normal(size=(1, 6, 6, 2)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 1 if depthwise else 2, 2)).astype(np.float32)
    scale, bias, mean = (10 * rng.normal(size=(3, 2))).astype(np.float32)
    variance = rng.uniform(0.5, 2, 2).astype(np.float32)
    params = {"conv": {"kernel": kernel}, "scale": scale, "bias": bias, "mean": mean}
    layer = ConvNorm(2, 3, 2, depthwise)
    found = layer.apply({"params": params | {"variance": variance}}, images)
    padded = np.pad(images[0].astype(np.float64), ((0, 1), (0, 1), (0, 0)))  # none before
    expected = np.zeros((3, 3, 2))
    for y, x, out in np.ndindex(3, 3, 2):
        window = padded[2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
        window = window[..., out : out + 1] if depthwise else window
        expected[y, x, out] = (window * kernel[..., out]).sum()
    expected = (expected - mean) / np.sqrt(variance + 1e-3) * scale + bias
    np.testing.assert_allclose(found[0], expected.clip(0, 6), atol=1e-4)
    assert 0 < (found == 0).sum() + (found == 6).sum() < found.size


def test_the_network_has_the_published_parameters():
    params = jax.eval_shape(init_efficientnet)
    sizes = jax.tree.map(lambda leaf: leaf.size, params)
    assert sum(jax.tree.leaves(sizes)) == 4_694_024  # of the published file, without its counters
    assert sum(stage.blocks for stage in STAGES) == 16
    assert params["classes"]["kernel"].shape == (1280, 1000)
