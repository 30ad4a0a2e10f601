import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.first_parameters import init
from tests.gradients import check_gradients
from vmr_jax.layers.domain_adversarial import (
    DomainClassifier,
    adversarial_loss,
    domain_loss,
    gradient_reversal,
)


@pytest.mark.parametrize("out", ["softmax2", "sigmoid"])
@pytest.mark.parametrize("act", ["relu", "none"])
def test_log_odds_of_the_target(out, act):
    joint = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    classifier = DomainClassifier(4, out=out, act=act)
    params = init(classifier, joint)["params"]
    logits = classifier.apply({"params": params}, joint)
    hidden = joint @ params["fc_2"]["kernel"] + params["fc_2"]["bias"]
    hidden = np.maximum(hidden, 0) if act == "relu" else hidden
    classes = hidden @ params["fc_1"]["kernel"] + params["fc_1"]["bias"]
    if out == "softmax2":
        expected = np.exp(classes[:, 1]) / np.exp(classes).sum(-1)
    else:
        expected = 1 / (1 + np.exp(-classes[:, 0]))
    np.testing.assert_allclose(jax.nn.sigmoid(logits), expected, atol=1e-6)


def test_parameters_of_the_classifier():
    shapes = jax.eval_shape(DomainClassifier(256).init, jax.random.key(0), jnp.zeros((1, 512)))
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 131_328 + 514


def test_forward_is_the_identity_and_backward_turns_the_sign():
    x = jnp.array([1.0, -2.0, 3.0])
    np.testing.assert_array_equal(gradient_reversal(x), x)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(gradient_reversal(x) ** 2)))(x)
    np.testing.assert_array_equal(gradient, -2 * x)


def test_half_probabilities_cost_two_log_two():
    loss = domain_loss(jnp.zeros(4), jnp.zeros(6), jnp.ones(4), jnp.ones(6))
    np.testing.assert_allclose(loss, 1.3862944, atol=1e-6)


def test_equals_eq_10_over_weighted_means():
    rng = np.random.default_rng(0)
    source, target = rng.standard_normal(4), rng.standard_normal(3)
    weight = np.array([1.0, 1.0, 0.0, 1.0])
    p_source, p_target = 1 / (1 + np.exp(-source)), 1 / (1 + np.exp(-target))
    expected = -np.log(1 - p_source)[[0, 1, 3]].mean() - np.log(p_target).mean()
    np.testing.assert_allclose(domain_loss(source, target, weight, np.ones(3)), expected, rtol=1e-5)


def test_an_empty_half_counts_nothing():
    loss = domain_loss(jnp.ones(2), jnp.zeros(3), jnp.zeros(2), jnp.ones(3))
    np.testing.assert_allclose(loss, np.log(2), rtol=1e-6)


def test_gradients_of_the_domain_loss():
    check_gradients(
        lambda a, b: domain_loss(a, b, jnp.ones(3), jnp.ones(2)),
        (jnp.array([0.3, -1.0, 2.0]), jnp.array([0.5, -0.2])),
        atol=1e-2,
        rtol=1e-2,
    )


def test_the_points_unlearn_what_the_classifier_learns():
    points = jnp.array([[0.3, -1.0], [0.5, 0.2]]), jnp.array([[1.0, 0.4]])
    weights = jnp.ones(2), jnp.ones(1)
    kernel = jnp.array([0.7, -0.3])

    def plain(kernel, points):
        return domain_loss(points[0] @ kernel, points[1] @ kernel, *weights)

    def adversarial(kernel, points):
        return adversarial_loss(lambda x: x @ kernel, *points, *weights)

    assert plain(kernel, points) == adversarial(kernel, points)
    of_kernel, of_points = jax.grad(plain, (0, 1))(kernel, points)
    found, reversed_ = jax.grad(adversarial, (0, 1))(kernel, points)
    np.testing.assert_allclose(found, of_kernel, rtol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, -b, rtol=1e-6), reversed_, of_points)
