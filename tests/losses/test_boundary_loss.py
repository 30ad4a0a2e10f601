import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import check_gradients
from vmr_jax.losses.boundary import PROBABILITIES, boundary_loss, boundary_probability


def _case():
    rng = np.random.default_rng(0)
    mask = np.arange(6) < np.array([[6], [4], [3]])
    start, end = rng.standard_normal((2, 3, 6)).astype(np.float32)
    span = np.array([[1, 5], [0, 0], [2, 2]])
    return start, end, span, mask, np.array([1, 0.5, 0], np.float32)


@pytest.mark.parametrize("clips", [2, 7])
def test_uniform_probabilities_cost_two_logs_of_the_clips(clips):
    logits, mask = jnp.zeros((1, 9)), jnp.arange(9)[None] < clips
    span = jnp.array([[0, clips - 1]])
    total, count = boundary_loss(logits, logits, span, mask, jnp.ones(1), "softmax")
    np.testing.assert_allclose(total / count, 2 * np.log(clips), rtol=1e-6)


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_equals_the_formulas_over_valid_clips(probability):
    start, end, span, mask, weight = _case()
    expected = 0.0
    for b in range(3):
        for logits, index in ((start[b], span[b, 0]), (end[b], span[b, 1])):
            x = logits[mask[b]].astype(np.float64)
            p = 1 / (1 + np.exp(-x))
            truth = np.arange(len(x)) == index
            loss = {
                "softmax": -np.log(np.exp(x)[index] / np.exp(x).sum()),
                "sigmoid_nll": -np.log(p[index]),
                "sigmoid_bce": -np.mean(np.where(truth, np.log(p), np.log(1 - p))),
            }[probability]
            expected += weight[b] * loss
    total, count = boundary_loss(start, end, span, mask, weight, probability)
    np.testing.assert_allclose(total, expected, rtol=1e-5)
    assert count == 1.5
    padded = np.where(mask, start, -1e10), np.where(mask, end, -1e10)
    again, _ = boundary_loss(*padded, span, mask, weight, probability)
    np.testing.assert_allclose(again, expected, rtol=1e-5)


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_gradients(probability):
    start, end, span, mask, weight = _case()
    check_gradients(
        lambda s, e: boundary_loss(s, e, span, mask, weight, probability)[0],
        (start, end),
        atol=1e-2,
        rtol=1e-2,
    )


@pytest.mark.parametrize("probability", PROBABILITIES)
def test_probabilities_are_zero_on_padding(probability):
    start, _, _, mask, _ = _case()
    p = np.asarray(boundary_probability(start, mask, probability))
    assert not p[~mask].any() and (p[mask] > 0).all()
    if probability == "softmax":
        np.testing.assert_allclose(p.sum(-1), 1, rtol=1e-6)
    else:
        np.testing.assert_allclose(p[mask], 1 / (1 + np.exp(-start[mask])), rtol=1e-5)
