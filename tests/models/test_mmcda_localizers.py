import jax
import numpy as np

from tests.gradients import check_gradients
from vmr_jax.models.mmcda.localizers import inside_outside_means


def _case(clips):
    rng = np.random.default_rng(0)
    mask = np.arange(clips) < np.array([clips, 4, 1])[:, None]
    values = rng.standard_normal((3, clips)).astype(np.float32)
    return values, mask


def test_means_are_those_of_every_span():
    values, mask = _case(7)
    values = np.where(mask, values, np.nan)  # what stands on padding counts nowhere
    inside, outside = jax.jit(inside_outside_means)(values, mask)
    for item, length in enumerate((7, 4, 1)):
        real = values[item, :length].astype(np.float64)
        for i in range(length):
            for j in range(i, length):
                others = np.r_[real[:i], real[j + 1 :]]
                expected = others.mean() if len(others) else 0
                np.testing.assert_allclose(inside[item, i, j], real[i : j + 1].mean(), rtol=1e-5)
                np.testing.assert_allclose(outside[item, i, j], expected, rtol=1e-5, atol=1e-6)


def test_the_error_of_long_videos_is_small():
    values, mask = _case(256)
    inside, _ = inside_outside_means(values, mask)
    sums = np.pad(np.cumsum(values[0].astype(np.float64)), (1, 0))
    first, last = np.triu_indices(256)
    expected = (sums[last + 1] - sums[first]) / (last + 1 - first)
    assert np.abs(np.asarray(inside[0])[first, last] - expected).max() < 3e-5


def test_gradients():
    values, mask = _case(5)
    first, last = np.triu_indices(5)
    both = lambda v: [x[0][first, last] for x in inside_outside_means(v, mask)]  # noqa: E731
    check_gradients(both, (values,), rtol=1e-2, atol=1e-2)
