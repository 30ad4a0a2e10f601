"""Slots are matched as SciPy and a trial of all assignments match them."""

import itertools

import jax
import numpy as np
from scipy.optimize import linear_sum_assignment

from tests.gradients import check_gradients
from vmr_jax.models.detr import matching
from vmr_jax.types import Config

RNG = np.random.default_rng(0)
match, generalized_iou = jax.jit(matching.match), jax.jit(matching.generalized_iou)
WEIGHTS = Config({"span": 10.0, "iou": 1.0, "label": 4.0})


def slow_iou(one, other):
    """Generalized IoU of two spans (start, end)."""
    inner = max(min(one[1], other[1]) - max(one[0], other[0]), 0)
    union = one[1] - one[0] + other[1] - other[0] - inner
    hull = max(one[1], other[1]) - min(one[0], other[0])
    return inner / union - (hull - union) / hull


def test_the_generalized_iou_is_the_loop():
    edges = np.sort(RNG.uniform(size=(2, 50, 2)), axis=-1)
    found = generalized_iou(*edges)
    expected = [slow_iou(one, other) for one, other in zip(*edges, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert found.min() < 0 < found.max()
    assert generalized_iou(edges[0], edges[0]).min() > 1 - 1e-6
    empty = np.zeros((1, 2))
    assert generalized_iou(empty, empty)[0] == 0


def test_its_gradient_is_the_numerical_one():
    edges = (
        np.array([[0.1, 0.4], [0.2, 0.3], [0.0, 0.2]]),
        np.array([[0.2, 0.7], [0.1, 0.6], [0.5, 0.9]]),
    )
    check_gradients(matching.generalized_iou, edges, eps=1e-3, atol=1e-2, rtol=1e-2)


def test_spans_and_edges_are_each_others_inverse():
    edges = np.array([[0.2, 0.6], [0.0, 1.0]])
    span = matching.span_of(edges)
    np.testing.assert_allclose(span, [[0.4, 0.4], [0.5, 1.0]], atol=1e-6)
    np.testing.assert_allclose(matching.edges_of(span), edges, atol=1e-6)


def test_the_cost_is_the_loop():
    span, truth = RNG.uniform(size=(2, 4, 2)), RNG.uniform(size=(2, 3, 2))
    logit = RNG.normal(size=(2, 4, 2))
    found = jax.jit(lambda *of: matching.matching_cost(*of, WEIGHTS))(span, logit, truth)
    for b, q, a in np.ndindex(found.shape):
        chance = np.exp(logit[b, q, 0]) / np.exp(logit[b, q]).sum()
        one, other = ((c - w / 2, c + w / 2) for c, w in (span[b, q], truth[b, a]))
        expected = 10 * np.abs(span[b, q] - truth[b, a]).sum() - slow_iou(one, other) - 4 * chance
        assert abs(found[b, q, a] - expected) < 1e-5


def test_matches_are_scipys_and_the_best_of_all():
    cost = RNG.normal(size=(40, 5, 3)).astype(np.float32)
    real = np.arange(3) < RNG.integers(1, 4, size=(40, 1))
    matched = np.asarray(match(cost, real))
    assert (matched.sum(axis=1) == real).all()  # a slot for each real moment
    assert matched.sum(axis=2).max() == 1  # and no slot for two
    for of_query, costs, moments in zip(matched, cost, real, strict=True):
        costs = costs[:, moments]
        total = (of_query[:, moments] * costs).sum()
        assert abs(total - costs[linear_sum_assignment(costs)].sum()) < 1e-5
        trials = itertools.permutations(range(5), costs.shape[1])
        best = min(sum(costs[slot, a] for a, slot in enumerate(slots)) for slots in trials)
        assert abs(total - best) < 1e-5


def test_padded_moments_change_no_match():
    cost = RNG.normal(size=(20, 4, 2)).astype(np.float32)
    real = np.ones((20, 2), bool)
    padded = np.concatenate([cost, 100 * RNG.normal(size=(20, 4, 2))], axis=2)
    found = match(padded, np.concatenate([real, ~real], axis=1))
    np.testing.assert_array_equal(found[..., :2], match(cost, real))
    assert not found[..., 2:].any()


def test_the_search_ends_where_costs_are_no_numbers():
    cost = np.full((2, 3, 2), np.nan, np.float32)
    cost[1, 0] = -np.inf, np.inf
    matched = match(cost, np.ones((2, 2), bool))
    assert (matched.sum(axis=1) == 1).all()
