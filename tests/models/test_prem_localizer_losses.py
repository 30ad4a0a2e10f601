import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.models.prem.localizer_losses import overlapping_spans, shared_norm_loss


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


def _listed(spans, row=0):
    """The valid spans of one row, in order."""
    first, last, valid = (np.asarray(x[row]) for x in (spans.first, spans.last, spans.valid))
    return list(zip(first[valid].tolist(), last[valid].tolist(), strict=True))


def _near(span, clips):
    """Spans of IoU above 0.7 and their IoUs, by counting clips."""
    truth, found = set(range(span[0], span[1] + 1)), {}
    for i in range(clips):
        for j in range(i, clips):
            segment = set(range(i, j + 1))
            inter, union = len(segment & truth), len(segment | truth)
            if 10 * inter > 7 * union:
                found[i, j] = inter / union
    return found


def test_worked_positives():
    found = _listed(overlapping_spans(jnp.array([[5, 14]]), jnp.array([20]), 20, 64))
    assert found[0] == (5, 14)
    assert (5, 12) in found and (4, 15) in found and (5, 11) not in found


@pytest.mark.parametrize("most", [3, 64, 1000])
def test_positives_are_the_best_of_the_loops(most):
    spans, clips = [[0, 0], [3, 9], [0, 11], [11, 11]], [5, 10, 12, 12]
    found = overlapping_spans(jnp.array(spans), jnp.array(clips), 12, most)
    assert found.first.shape == (4, min(most, 144))
    for row, (span, count) in enumerate(zip(spans, clips, strict=True)):
        expected = sorted(_near(span, count).items(), key=lambda item: (-item[1], item[0]))
        assert _listed(found, row) == [segment for segment, _ in expected[:most]]
    assert _listed(found, 0) == [(0, 0)]  # the truth itself (PREM P16)
    invalid = ~np.asarray(found.valid)
    assert not any(np.asarray(x)[invalid].any() for x in found[:2])
