import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.losses.contrastive import (
    batch_hinge_loss,
    hinge_loss,
    info_nce,
    symmetric_info_nce,
)


def test_the_worked_example():
    positive, negative = jnp.array([0.9, 0.3, 0.3]), jnp.array([0.15, 0.2, 0.2])
    for item, expected in ((0, 0.0), (1, 0.4)):
        total, count = hinge_loss(positive, negative, 0.5, jnp.arange(3) == item)
        np.testing.assert_allclose([total, count], [expected, 1], atol=1e-7)
    total, count = hinge_loss(positive, negative, 0.5, jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(total / count, 0.2, atol=1e-7)


def test_info_nce_of_three_rows():
    positive, negative = jnp.array([0.3, 0.31, 0.2]), jnp.array([[0.3], [0.3], [0.9]])
    found = info_nce(positive, negative, jnp.array([[True], [True], [False]]), 0.01)
    np.testing.assert_allclose(found, [0.6931472, 0.3132617, 0], rtol=1e-5)


def test_info_nce_holds_large_logits():
    run = lambda p: info_nce(p, jnp.array([[1.0, -1.0]]), jnp.ones((1, 2), bool), 0.01).sum()  # noqa: E731
    loss, gradient = jax.value_and_grad(run)(jnp.array([-1.0]))
    np.testing.assert_allclose([loss, gradient[0]], [200, -100], rtol=1e-6)


def _batch():
    """Scores of four pairs, of which the first and last are no rivals."""
    score = np.random.default_rng(0).uniform(-1, 1, (4, 4)).astype(np.float32)
    rival = ~np.eye(4, dtype=bool)
    rival[0, 3] = rival[3, 0] = False
    return score, rival


def test_symmetric_info_nce_is_the_mean_of_both_directions():
    score, rival = _batch()
    terms = []
    for matrix in (score / 0.1, score.T / 0.1):
        for i in (0, 1, 2):
            every = np.r_[matrix[i, i], matrix[i, rival[i]]].astype(np.float64)
            terms.append(np.log(np.exp(every).sum()) - matrix[i, i])
    total, count = symmetric_info_nce(score, rival, jnp.array([1.0, 1, 1, 0]), 0.1)
    np.testing.assert_allclose([total, count], [sum(terms) / 2, 3], rtol=1e-5)
    total, count = symmetric_info_nce(score, np.zeros((4, 4), bool), jnp.ones(4), 0.1)
    assert total == 0 and count == 4


def test_the_batch_hinge_reads_both_directions_and_rivals_only():
    score, rival = _batch()
    rival[2] = rival[:, 2] = False
    for hardest, pick in ((False, np.mean), (True, np.max)):
        expected = 0.0
        for matrix in (score, score.T):
            for i in (0, 1, 3):
                expected += pick(np.maximum(0, 0.2 - matrix[i, i] + matrix[i, rival[i]]))
        total, count = batch_hinge_loss(score, rival, 0.2, hardest)
        np.testing.assert_allclose([total, count], [expected, 3], rtol=1e-5)
