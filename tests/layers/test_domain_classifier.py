import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.layers.domain_classifier import DomainClassifier


@pytest.mark.parametrize("out", ["softmax2", "sigmoid"])
@pytest.mark.parametrize("act", ["relu", "none"])
def test_log_odds_of_the_target(out, act):
    joint = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    classifier = DomainClassifier(4, out=out, act=act)
    params = classifier.init(jax.random.key(0), joint)["params"]
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
