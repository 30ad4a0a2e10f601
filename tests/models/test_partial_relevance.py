"""The retriever's losses against worked numbers and loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import check_gradients
from tests.models import prem_cases as cases
from tests.models.partial_relevance_cases import slow_losses
from vmr_jax.models.prem.retriever_losses import (
    Pairs,
    best_clips,
    clip_similarities,
    retrieval_losses,
)
from vmr_jax.training.steps import term_means


def _unit(x):
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def _pairs(seed=0, weight=(1, 1, 1, 1, 1, 0)):
    """Pairs of which the first and third show one video, and the second's moment is all of it."""
    rng = np.random.default_rng(seed)
    clips = np.array([5, 3, 5, 1, 4, 5])
    video = _unit(rng.standard_normal((6, 5, 2, 4)))
    video[2] = video[0]
    mask = np.arange(5) < clips[:, None]
    return Pairs(
        query=_unit(rng.standard_normal((6, 2, 4))),
        video=video * mask[..., None, None],
        mask=mask,
        span=np.array([[1, 2], [0, 2], [4, 4], [0, 0], [2, 3], [0, 1]]),
        video_id=np.array([9, 1, 9, 2, 3, 4]),
        weight=np.array(weight, np.float32),
    )


def _settings(**switches):
    return cases.config(temperature=0.05, **switches)


def test_the_score_of_a_worked_example():
    query = jnp.array([[[1.0, 0], [1, 0]]])
    video = jnp.array([[[[1.0, 0], [0, 1]], [[0, 1], [0, 1]]]])  # clips of (image, subtitle)
    similarity = clip_similarities(query, video)
    assert similarity.max(axis=-1).ravel().tolist() == [1, 0]
    assert best_clips(similarity, jnp.ones((1, 2), bool)).tolist() == [[0.5]]


def test_one_clip_for_both_modalities_is_at_most_as_good():
    similarity = jnp.array([[0.9, 0.1, 0.5], [0.1, 0.7, 0.4]])  # (J, N)
    mask = jnp.array([True, True, True])
    np.testing.assert_allclose(best_clips(similarity, mask), 0.8)
    np.testing.assert_allclose(best_clips(similarity, mask, joint=True), 0.5)
    assert best_clips(similarity, ~mask) == 0


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"positive": "strong"},
        {"positive": "whole_video", "mask_same_video": False},
        {"strong__joint_clip": True, "weak_weight": 0.3},
        {"vq__neg_scope": "span"},
        {"mask_same_video": False, "vq__neg_scope": "span", "strong__joint_clip": True},
    ],
)
def test_the_losses_are_those_of_the_loops(switches):
    settings, pairs = _settings(**switches), _pairs()
    found = retrieval_losses(pairs, settings)
    terms, watched = slow_losses(pairs, settings)
    assert set(found.terms) == set(terms) and set(found.watched) == set(watched)
    for means, expected in ((term_means(found.terms), terms), (term_means(found.watched), watched)):
        for name, value in expected.items():
            np.testing.assert_allclose(means[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_a_moment_that_is_the_whole_video_has_no_weak_term():
    """And gradients stay finite where no item has one, at the paper's temperature."""
    pairs = _pairs()
    whole = pairs._replace(span=np.stack([np.zeros(6, int), pairs.mask.sum(1) - 1], -1))
    settings = cases.config()

    def loss(video):
        terms = retrieval_losses(whole._replace(video=video), settings).terms
        return sum(term_means(terms).values()), terms

    (total, terms), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(whole.video)
    assert terms["weak"][0] == 0 and terms["weak"][1] == 0
    assert np.isfinite(total) and np.isfinite(gradient).all()
    one = _settings()
    assert float(retrieval_losses(pairs, one).terms["weak"][1]) == 3  # of five, two are covered


def test_a_batch_of_one_video_has_no_loss():
    pairs = _pairs()._replace(video_id=np.zeros(6, int))
    terms = retrieval_losses(pairs, _settings()).terms
    assert all(float(total) == 0 for total, _ in terms.values())


def test_what_is_off_the_masks_does_not_count():
    pairs = _pairs()
    dirty = pairs._replace(
        video=np.where(pairs.mask[..., None, None], pairs.video, 3).astype(np.float32)
    )
    dirty.query[5], dirty.span[5] = 7, -1
    for settings in (_settings(), _settings(vq__neg_scope="span", mask_same_video=False)):
        clean, other = (retrieval_losses(x, settings) for x in (pairs, dirty))
        for one, two in zip(jax.tree.leaves(clean), jax.tree.leaves(other), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-6)


def test_gradients():
    pairs, settings = _pairs(), cases.config(temperature=1.0)

    def loss(query, video):
        terms = retrieval_losses(pairs._replace(query=query, video=video), settings).terms
        return sum(term_means(terms).values())

    arguments = (jnp.asarray(pairs.query), jnp.asarray(pairs.video))
    check_gradients(loss, arguments, atol=1e-2, rtol=1e-2, eps=1e-3)


def test_with_and_without_jit():
    pairs, settings = _pairs(), _settings(vq__neg_scope="span")
    plain, compiled = (
        run(lambda: retrieval_losses(jax.tree.map(jnp.asarray, pairs), settings))()
        for run in (lambda f: f, jax.jit)
    )
    for one, two in zip(*map(jax.tree.leaves, (plain, compiled)), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
