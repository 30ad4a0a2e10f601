import numpy as np
import pytest

from vmr_jax.layers.positions import sinusoids


@pytest.mark.parametrize("width", [6, 5])
def test_each_channel_is_a_wave_and_each_row_has_length_1(width):
    found = sinusoids(4, width)
    waves = np.array(
        [
            [
                (np.cos if c % 2 else np.sin)(n / 10000 ** (2 * (c // 2) / width))
                for c in range(width)
            ]
            for n in range(4)
        ]
    )
    expected = [row / np.sqrt((row**2).sum()) for row in waves]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert found.dtype == np.float32
