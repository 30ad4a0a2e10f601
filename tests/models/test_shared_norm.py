import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.models.prem.shared_norm import shared_norm_loss


def test_equal_logits_over_the_clips_of_all_videos():
    mask = jnp.arange(30) < jnp.array([10, 20, 20, 20, 30])[None, :, None]
    logits = jnp.where(mask, 0.7, -1e10)
    total, count = shared_norm_loss(logits, logits, jnp.array([[3, 5]]), mask, jnp.ones(1))
    np.testing.assert_allclose(total / count / 2, 4.6051702, rtol=1e-6)
    total, _ = shared_norm_loss(logits, logits, jnp.array([[3, 5]]), mask, jnp.ones(1), False)
    np.testing.assert_allclose(total / 2, np.log(10), rtol=1e-6)


@pytest.mark.parametrize("shared", [True, False])
def test_it_is_the_cross_entropy_of_the_loops(shared):
    rng = np.random.default_rng(0)
    start, end = rng.standard_normal((2, 3, 2, 4)).astype(np.float32)
    mask = np.arange(4) < np.array([[4, 2], [3, 4], [1, 1]])[..., None]
    span, weight = np.array([[1, 3], [0, 0], [0, 0]]), np.array([1, 1, 0], np.float32)
    total, count = shared_norm_loss(start, end, span, mask, weight, shared)
    expected = 0.0
    for b in range(2):
        for logits, truth in ((start, span[b, 0]), (end, span[b, 1])):
            valid = logits[b][mask[b]] if shared else logits[b, 0][mask[b, 0]]
            expected += np.log(np.exp(np.float64(valid)).sum()) - logits[b, 0, truth]
    np.testing.assert_allclose([total, count], [expected, 2], rtol=1e-5)
