import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import check_gradients
from vmr_jax.losses.relevant_content import relevant_content_loss


def _case():
    rng = np.random.default_rng(0)
    positive, negative = rng.standard_normal((2, 4, 3)).astype(np.float32)
    near = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]], bool)
    far = np.array([[1, 1, 1], [0, 0, 0], [0, 1, 0], [1, 0, 0]], bool)
    return positive, near, negative, far, np.array([1, 1, 1, 0], np.float32)


@pytest.mark.parametrize("reduction", ["all", "balanced"])
def test_it_is_the_cross_entropy_of_the_loops(reduction):
    positive, near, negative, far, weight = _case()
    losses = []
    for b in range(3):
        of_near = [np.log1p(np.exp(-np.float64(x))) for x in positive[b][near[b]]]
        of_far = [np.log1p(np.exp(np.float64(x))) for x in negative[b][far[b]]]
        if reduction == "all":
            losses.append(np.mean(of_near + of_far))
        else:
            losses.append(np.mean([np.mean(x) for x in (of_near, of_far) if x]))
    total, count = relevant_content_loss(*_case(), reduction)
    np.testing.assert_allclose([total, count], [sum(losses), 3], rtol=1e-5)


def test_gradients_and_what_does_not_count():
    positive, near, negative, far, weight = map(jnp.asarray, _case())
    loss = lambda p, n: relevant_content_loss(p, near, n, far, weight)[0]  # noqa: E731
    check_gradients(loss, (positive, negative), atol=1e-2, rtol=1e-2)
    of_near, of_far = jax.grad(loss, (0, 1))(positive, negative)
    assert not of_near[~near].any() and not of_far[~far].any()
    assert not of_near[3].any() and not of_far[3].any()
