"""The losses of the DETR family beside slow loops in float64."""

import jax
import jax.numpy as jnp
import numpy as np
from test_detr_matching import slow_iou

from tests.gradients import check_gradients
from vmr_jax.models.detr import losses

B, N, Q, A = 3, 6, 4, 2
RNG = np.random.default_rng(1)
SPAN, TRUTH = RNG.uniform(0.1, 0.9, size=(B, Q, 2)), RNG.uniform(0.1, 0.9, size=(B, A, 2))
LOGIT = RNG.normal(size=(B, Q, 2))
WEIGHT = np.array([1.0, 0.0, 1.0])
MATCHED = np.zeros((B, Q, A), bool)
MATCHED[0, 2, 0] = MATCHED[0, 1, 1] = MATCHED[1, 0, 0] = MATCHED[2, 3, 1] = True
MASK = np.arange(N) < np.array([6, 6, 5])[:, None]
SALIENCY = np.array([[-1, 3, 12, 1, -1, -1], [-1, -1, 2, 2, -1, -1], [1, 1, -1, -1, -1, -1.0]])
SCORE, OTHER = RNG.normal(size=(2, B, N))
HAS_OTHER = np.array([True, True, False])


def mean(term):
    total, count = term
    return float(total / count)


def pairs_of(b):
    return [(q, a) for q, a in np.ndindex(Q, A) if MATCHED[b, q, a]]


def test_spans_are_the_loop():
    distance, overlap = losses.span_losses(SPAN, TRUTH, MATCHED, WEIGHT)
    differences, gaps = [], []
    for b in np.flatnonzero(WEIGHT):
        for q, a in pairs_of(b):
            differences += list(np.abs(SPAN[b, q] - TRUTH[b, a]))
            edges = [(c - w / 2, c + w / 2) for c, w in (SPAN[b, q], TRUTH[b, a])]
            gaps.append(1 - slow_iou(*edges))
    assert abs(mean(distance) - np.mean(differences)) < 1e-6
    assert abs(mean(overlap) - np.mean(gaps)) < 1e-6


def test_labels_are_the_loop():
    chance = np.exp(LOGIT) / np.exp(LOGIT).sum(axis=-1, keepdims=True)
    each = []
    for b in np.flatnonzero(WEIGHT):
        taken = {q for q, _ in pairs_of(b)}
        for q in range(Q):
            each.append(-np.log(chance[b, q, 0]) if q in taken else -0.1 * np.log(chance[b, q, 1]))
    found = losses.label_loss(LOGIT, MATCHED, 0.1, WEIGHT)
    assert abs(mean(found) - np.mean(each)) < 1e-6


def test_pairs_are_hard_where_saliency_differs_and_easy_else():
    drawn = [losses.draw_pairs(jax.random.key(i), jnp.asarray(SALIENCY), MASK) for i in range(30)]
    high, low = (np.stack(clips) for clips in zip(*drawn, strict=True))
    assert (high[:, 0, 0] == 2).all() and (low[:, 0, 0] == 3).all()  # of 12 and of 1
    assert set(high[:, 0, 1]) == {1, 2, 3} and set(low[:, 0, 1]) == {0, 4, 5}
    for query, (inside, outside) in {1: ({2, 3}, {0, 1, 4, 5}), 2: ({0, 1}, {2, 3, 4})}.items():
        for pair in (0, 1):
            assert set(high[:, query, pair]) == inside and set(low[:, query, pair]) == outside
    assert (high[:, 1, 0] != high[:, 1, 1]).any()  # drawn apart


def test_pairs_are_the_hard_one_twice_where_all_clips_are_in_moments():
    pairs = losses.draw_pairs(jax.random.key(0), jnp.array([[2.0, 5, 3, 1]]), np.ones((1, 4), bool))
    np.testing.assert_array_equal(pairs.high, [[1, 1]])
    np.testing.assert_array_equal(pairs.low, [[3, 3]])


def test_the_hinge_is_the_loop():
    pairs = losses.ClipPairs(RNG.integers(0, 5, (B, 2)), RNG.integers(0, 5, (B, 2)))
    each = [
        max(0, 0.2 + SCORE[b, pairs.low[b, i]] - SCORE[b, pairs.high[b, i]])
        for b in np.flatnonzero(WEIGHT)
        for i in range(2)
    ]
    assert abs(mean(losses.pair_loss(SCORE, pairs, 0.2, WEIGHT)) - 2 * np.mean(each)) < 1e-6


def slow_ranking():
    """QD-DETR's ranking, level by level, as the public code writes it."""
    total = 0.0
    for level in range(1, 12):
        for b in np.flatnonzero(WEIGHT):
            scores = [SCORE[b, i] / 0.5 for i in range(N) if MASK[b, i]]
            if HAS_OTHER[b]:
                scores += [OTHER[b, i] / 0.5 for i in range(N) if MASK[b, i]]
            whole = np.log(np.sum(np.exp(scores)))
            above = [i for i in range(N) if MASK[b, i] and SALIENCY[b, i] >= level]
            if above:
                total -= np.mean([SCORE[b, i] / 0.5 - whole for i in above])
    return total / 12 / WEIGHT.sum()


def test_the_ranking_is_the_loop():
    found = losses.ranking_loss(SCORE, OTHER, SALIENCY, MASK, HAS_OTHER, WEIGHT)
    assert abs(mean(found) - slow_ranking()) < 1e-5


def test_negatives_are_the_loop():
    each = [
        sum(-np.log(1 - 1 / (1 + np.exp(-OTHER[b, i]))) for i in range(N) if MASK[b, i])
        for b in np.flatnonzero(WEIGHT)
    ]
    assert abs(mean(losses.negative_loss(OTHER, MASK, WEIGHT)) - np.mean(each)) < 1e-5


def test_gradients_are_the_numerical_ones():
    def total(span, logit, score, other):
        terms = [
            *losses.span_losses(span, TRUTH, MATCHED, WEIGHT),
            losses.label_loss(logit, MATCHED, 0.1, WEIGHT),
            losses.ranking_loss(score, other, SALIENCY, MASK, HAS_OTHER, WEIGHT),
            losses.negative_loss(other, MASK, WEIGHT),
        ]
        return sum(value / count for value, count in terms)

    check_gradients(total, (SPAN, LOGIT, SCORE, OTHER), eps=1e-3, atol=2e-2, rtol=2e-2)
