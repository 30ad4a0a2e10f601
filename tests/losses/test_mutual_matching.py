"""MMN's losses against the public code's numbers, float64 loops, and differences."""

import jax
import jax.numpy as jnp
import mutual_matching_cases as cases
import numpy as np
import pytest

from tests.gradients import check_gradients
from vmr_jax.losses.mutual_matching import (
    NEGATIVE_MASKS,
    best_cells,
    iou_loss,
    moment_to_sentence,
    scale_iou,
    sentence_to_moment,
)

GOLDEN = cases.GOLDEN["outputs"]
CONTRASTIVE = [
    (case, key) for case, settings in GOLDEN["d_contrastive"].items() for key in settings
]


def _mean(term):
    return term[0] / term[1]


@pytest.mark.parametrize("case", ["low_iou", "high_iou", "short"])
@pytest.mark.parametrize(("low", "high", "name"), [(0.5, 1.0, "0.5_1"), (0.3, 0.7, "0.3_0.7")])
def test_golden_iou_loss(case, low, high, name):
    iou, _ = cases.golden_iou(case)
    logit = 10 * np.asarray(cases.golden_cosine("iou"))[np.arange(3), cases.OWNER]
    expected = np.array(GOLDEN["c_iou_loss"]["s_iou"])[:, cases.CELLS.row, cases.CELLS.column]
    np.testing.assert_allclose(1 / (1 + np.exp(-logit)), expected, rtol=1e-4, atol=1e-5)
    run = jax.jit(lambda logit, iou: _mean(iou_loss(logit, scale_iou(iou, low, high), jnp.ones(3))))
    found = run(logit, iou)
    np.testing.assert_allclose(found, GOLDEN["c_iou_loss"][case][f"L_iou_{name}"], rtol=1e-4)


@pytest.mark.parametrize(("case", "key"), CONTRASTIVE)
def test_golden_contrastive_losses(case, key):
    count, margin = int(key[1]), float(key.split("_m")[1])
    matches, golden = cases.golden_matches(case, count), GOLDEN["d_contrastive"][case][key]
    found, by_mask = jax.jit(
        lambda m: (
            _mean(moment_to_sentence(m, margin, 0.1)),
            [_mean(sentence_to_moment(m, margin, 0.1, 1e-6, mask)) for mask in NEGATIVE_MASKS],
        )
    )(matches)
    np.testing.assert_allclose(found, golden["L_v"], rtol=1e-4)
    for mask, found in zip(NEGATIVE_MASKS, by_mask, strict=True):
        np.testing.assert_allclose(found, golden[f"L_s_{mask}"], rtol=1e-4, err_msg=mask)


def test_the_golden_cases_are_all_there():
    assert len(CONTRASTIVE) == 5
    assert float(cases.golden_iou("short")[0][0].max()) == pytest.approx(0.25)


def test_labels_are_scaled():
    iou = jnp.array([0.4, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(scale_iou(iou, 0.5, 1.0), [0, 0, 0.5, 1], atol=1e-7)


def test_of_equal_cells_the_first_are_positives():
    iou = jnp.array([[0.2, 0.7, 0.1, 0.7, 0.7], [0.0, 0.0, 0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(best_cells(iou, 2), [[1, 3], [0, 1]])


def test_without_negatives_a_moment_has_no_loss():
    matches = cases.random_matches(1)
    alone = matches._replace(weight=jnp.array([1.0, 0, 0, 0, 0, 0, 0]))
    loss = lambda score: moment_to_sentence(alone._replace(score=score), 0.4, 0.1)[0]  # noqa: E731
    value, gradient = jax.jit(jax.value_and_grad(loss))(matches.score)
    assert value == 0 and not np.asarray(gradient).any()


def test_without_negatives_epsilon_is_left():
    matches = cases.random_matches(1)
    alone = matches._replace(iou=np.ones_like(matches.iou), video_weight=jnp.zeros(4))
    best = np.asarray(matches.score)[np.arange(7), matches.owner, matches.best[:, 0]]
    ratio = np.exp((np.asarray(best, np.float64)[:5] - 0.4) / 0.1)
    for epsilon in (1e-6, 0.0):
        found = jax.jit(_mean_of(sentence_to_moment, 0.4, 0.1, epsilon))(alone)
        np.testing.assert_allclose(found, np.log1p(epsilon / ratio).mean(), rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("group", [0, 1, 2])
@pytest.mark.parametrize("count", [1, 3])
def test_the_losses_are_the_loops(count, group):
    by_moment = jax.jit(_mean_of(moment_to_sentence, 0.3, 0.2, group))
    settings = {mask: (0.3, 0.2, 1e-6, mask, group) for mask in NEGATIVE_MASKS}
    by_mask = {mask: jax.jit(_mean_of(sentence_to_moment, *x)) for mask, x in settings.items()}
    for seed in range(2):
        matches = cases.random_matches(count, seed)
        found = by_moment(matches)
        expected = cases.slow_moment_to_sentence(matches, 0.3, 0.2, group)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
        for mask in NEGATIVE_MASKS:
            found = by_mask[mask](matches)
            expected = cases.slow_sentence_to_moment(matches, *settings[mask])
            np.testing.assert_allclose(found, expected, rtol=1e-4)


def _mean_of(loss, *settings):
    return lambda matches: _mean(loss(matches, *settings))


def test_the_iou_loss_is_the_loop():
    rng = np.random.default_rng(0)
    logit, label = rng.normal(0, 4, (3, 5)), rng.uniform(0, 1, (3, 5))
    p = 1 / (1 + np.exp(-logit))
    expected = -(label * np.log(p) + (1 - label) * np.log(1 - p))[:2].mean()
    weight = jnp.array([1.0, 1, 0])
    found = jax.jit(lambda *x: _mean(iou_loss(*x)))(jnp.asarray(logit), jnp.asarray(label), weight)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("mask", NEGATIVE_MASKS)
def test_gradients_by_differences(mask):
    with jax.enable_x64(True):
        matches = cases.random_matches(2)
        matches = jax.tree.map(
            lambda x: jnp.asarray(x, jnp.float64) if x.dtype == np.float32 else x, matches
        )

        def losses(score, logit):
            moved = matches._replace(score=score)
            label = scale_iou(matches.iou, 0.3, 0.7)
            return (
                _mean(moment_to_sentence(moved, 0.3, 0.2))
                + _mean(sentence_to_moment(moved, 0.3, 0.2, 1e-6, mask))
                + _mean(iou_loss(logit, label, matches.weight))
            )

        logit = 4 * np.asarray(matches.score)[:, 0]
        check_gradients(losses, (matches.score, logit), rtol=1e-5)


def test_padding_has_no_gradient_and_no_influence():
    matches = cases.random_matches(2)

    @jax.jit
    @jax.value_and_grad
    def losses(score, matches):
        moved = matches._replace(score=score)
        return _mean(moment_to_sentence(moved, 0.3, 0.2)) + _mean(
            sentence_to_moment(moved, 0.3, 0.2, 1e-6)
        )

    value, gradient = losses(matches.score, matches)
    assert np.asarray(gradient)[:5, :3].any()
    assert not np.asarray(gradient)[5:].any() and not np.asarray(gradient)[:, 3].any()
    moment, iou, score = map(np.array, (matches.moment, matches.iou, matches.score))
    moment[5:], iou[5:], score[5:], score[:, 3] = 0, 0.9, 0.7, -0.3
    assert losses(score, matches._replace(moment=moment, iou=iou))[0] == value
