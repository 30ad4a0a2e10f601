import jax
import numpy as np
import pytest

from vmr_jax.layers.clip_convolution import ClipConvolution


@pytest.mark.parametrize("width", [1, 3, 5])
def test_it_is_a_correlation_with_zeros_beyond_the_ends(width):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 3, 4, 6), np.float32)
    layer = ClipConvolution(width, 2)
    params = layer.init(jax.random.key(0), x)
    kernel = np.asarray(params["params"]["kernel"])
    assert kernel.shape == (width, 6, 2)
    bound = (width * 6) ** -0.5
    assert 0.5 * bound < np.abs(kernel).max() <= bound
    found = layer.apply(params, x)
    half = width // 2
    padded = np.pad(x, ((0, 0), (0, 0), (half, half), (0, 0)))
    for clip in range(4):
        expected = np.einsum("bckd,kdf->bcf", padded[:, :, clip : clip + width], kernel)
        np.testing.assert_allclose(found[:, :, clip], expected, rtol=1e-5, atol=1e-6)
