"""Moment-DETR and QD-DETR as systems: their loss, padding, predictions and switches."""

import functools

import detr_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_detr_losses import mean

from vmr_jax import models
from vmr_jax.models.detr import family, losses, matching
from vmr_jax.models.detr.network import DETR, Found, with_endpoints
from vmr_jax.training.steps import term_means
from vmr_jax.types import Progress

pytestmark = pytest.mark.usefixtures("quick_random_numbers")
NAMES = ("moment_detr", "qd_detr")
START = Progress(jnp.int32(0), jnp.int32(0), jnp.float32(0))


def padded(batch, clips=3, words=2):
    """The batch with more padding."""
    grow = lambda x, axis, by: np.pad(x, [(0, by * (i == axis)) for i in range(np.ndim(x))])  # noqa: E731
    saliency = np.pad(batch.saliency, ((0, 0), (0, clips)), constant_values=-1)
    moments = np.pad(batch.moments, ((0, 0), (0, 2), (0, 0)), constant_values=np.nan)
    return batch._replace(
        video=grow(batch.video, 1, clips),
        video_mask=grow(batch.video_mask, 1, clips),
        query=grow(batch.query, 1, words),
        query_mask=grow(batch.query_mask, 1, words),
        saliency=saliency,
        moments=moments,
    )


@functools.cache
def forward(name):
    """jit: (params, batch) -> what is found, the saliency, and that of the other sentence."""
    network = DETR(detr_cases.config(name))
    negatives = name == "qd_detr"
    return jax.jit(lambda p, batch: network.apply({"params": p}, batch, negatives=negatives))


@pytest.mark.parametrize("name", NAMES)
def test_padding_changes_nothing(name):
    _, params = detr_cases.system(detr_cases.config(name))
    batch = detr_cases.batch()
    found, *scores = forward(name)(params, batch)
    other, *padded_scores = forward(name)(params, padded(batch))
    for ours, theirs in zip(other, found, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
    real = np.asarray(batch.video_mask)
    for ours, theirs in zip(padded_scores, scores, strict=True):
        if theirs is not None:
            ours = np.asarray(ours)[:, : real.shape[1]]
            np.testing.assert_allclose(ours[real], np.asarray(theirs)[real], rtol=1e-4, atol=1e-5)


def test_padding_changes_no_loss_of_clips():
    batch = detr_cases.batch()
    wide = padded(batch)
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, *wide.video_mask.shape))
    apart = np.array([True, False, True, True])
    expected = None
    for made in (batch, wide):
        score, other = scores[..., : made.video_mask.shape[1]]
        terms = (
            losses.ranking_loss(score, other, made.saliency, made.video_mask, apart, made.weight),
            losses.negative_loss(other, made.video_mask, made.weight),
        )
        values = [mean(term) for term in terms]
        expected = expected or values
        np.testing.assert_allclose(values, expected, rtol=1e-5)
        pairs = losses.draw_pairs(jax.random.key(0), made.saliency, made.video_mask)
        for clips in pairs:
            assert np.take_along_axis(np.asarray(made.video_mask), np.asarray(clips), 1).all()


def test_padded_rows_have_no_gradient():
    config = detr_cases.config("qd_detr", decoder_layers=1)
    system, params = detr_cases.system(config)
    batch = detr_cases.batch()

    def of_inputs(video, query):
        given = batch._replace(video=video, query=query)
        terms = system.loss(params, given, jax.random.key(1), START).terms
        return sum(term_means(terms).values())

    slopes = jax.jit(jax.grad(of_inputs, (0, 1)))(batch.video, batch.query)
    for slope, mask in zip(slopes, (batch.video_mask, batch.query_mask), strict=True):
        assert (np.asarray(slope)[~np.asarray(mask)] == 0).all()
        assert (np.abs(np.asarray(slope)[np.asarray(mask)]).max(axis=-1) > 0).mean() > 0.5


def test_the_loss_is_its_parts():
    config = detr_cases.config("qd_detr", saliency__weight=2.0)
    system, params = detr_cases.system(config)
    batch, key = detr_cases.batch(), jax.random.key(3)
    terms = term_means(jax.jit(system.loss)(params, batch, key, START).terms)
    found, score, other = forward("qd_detr")(params, batch)
    truth, real = family.draw_moments(key, batch, config.most_moments)
    expected = dict.fromkeys(("span", "iou", "label"), 0.0)

    @jax.jit
    def of_layer(span, logit):
        matched = matching.match(matching.matching_cost(span, logit, truth, config.cost), real)
        spans = losses.span_losses(span, truth, matched, batch.weight)
        return *spans, losses.label_loss(logit, matched, 0.1, batch.weight)

    for span, logit in zip(found.span, found.logit, strict=True):
        distance, overlap, label = of_layer(span, logit)
        expected["span"] += 10 * mean(distance)
        expected["iou"] += mean(overlap)
        expected["label"] += 4 * mean(label)
    ids = np.asarray(batch.video_id)
    apart = (ids != np.roll(ids, -1)) & (np.roll(batch.weight, -1) > 0)
    mask = batch.video_mask
    ranking = losses.ranking_loss(score, other, batch.saliency, mask, apart, batch.weight)
    expected["ranking"] = 2 * mean(ranking)
    expected["negative"] = 2 * mean(losses.negative_loss(other, mask, batch.weight * apart))
    assert set(terms) == {*expected, "saliency"}
    for name, value in expected.items():
        np.testing.assert_allclose(terms[name], value, rtol=1e-4, err_msg=name)
    without = detr_cases.config(auxiliary=False)
    one = Found(found.span[-1:], found.logit[-1:])
    last, only = jax.jit(
        lambda: [
            family.set_losses(c, f, truth, real, batch.weight)[0]
            for c, f in ((without, found), (config, one))
        ]
    )()
    for name in last:
        np.testing.assert_allclose(mean(last[name]), mean(only[name]), rtol=1e-6)


def test_moments_beyond_the_most_are_left_out_at_random():
    batch = detr_cases.batch()
    count = (~np.isnan(batch.moments[..., 0])).sum(axis=1)
    seen = set()
    for seed in range(20):
        span, real = family.draw_moments(jax.random.key(seed), batch, 2)
        np.testing.assert_array_equal(real.sum(axis=1), np.minimum(count, 2))
        seen.add(tuple(np.asarray(span)[count == 3][0, :, 0].round(4)))
    assert len(seen) > 1
    span, real = family.draw_moments(jax.random.key(0), batch, 3)
    edges = matching.edges_of(span) * batch.duration[:, None, None]
    np.testing.assert_allclose(edges[real], np.asarray(batch.moments)[np.asarray(real)], rtol=1e-5)


def test_predictions_are_the_slots_by_probability():
    config = detr_cases.config("moment_detr", eval__top_k=4, infer__round_to_clips=False)
    system, params = detr_cases.system(config)
    batch = detr_cases.batch()
    config = detr_cases.config("moment_detr", eval__top_k=4, infer__round_to_clips=True)
    rounded, _ = detr_cases.system(config)
    both = jax.jit(lambda p, b: (system.predict(p, b), rounded.predict(p, b)))
    exact, whole = both(params, batch)
    found, saliency, other = forward("moment_detr")(params, batch)
    assert other is None
    chance = jax.nn.softmax(found.logit[-1])[..., 0]
    np.testing.assert_allclose(whole.score, -np.sort(-chance, axis=1), rtol=1e-5)
    best = np.asarray(chance).argmax(axis=1)
    edges = np.clip(matching.edges_of(found.span[-1]), 0, 1)[np.arange(len(best)), best]
    clip = np.asarray(batch.duration / batch.num_clips)[:, None]
    for moments, step in ((exact, 0), (whole, 1)):
        expected = edges * np.asarray(batch.duration)[:, None]
        expected = np.round(expected / clip) * clip if step else expected
        given = np.stack([moments.start[:, 0], moments.end[:, 0]], axis=1)
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)
    real = np.asarray(batch.video_mask)
    np.testing.assert_allclose(whole.saliency[real], saliency[real], rtol=1e-5)
    assert np.isneginf(np.asarray(whole.saliency)[~real]).all()


def test_endpoints_are_shares_of_the_video():
    batch = detr_cases.batch()
    found = np.asarray(with_endpoints(batch))[..., -2:]
    for row, count in enumerate(np.asarray(batch.num_clips)):
        for clip in range(found.shape[1]):
            real = clip < count
            expected = (clip / count, (clip + 1) / count) if real else (0, 0)
            np.testing.assert_allclose(found[row, clip], expected, rtol=1e-6)


def test_the_other_sentence_is_the_next_pairs_and_not_of_the_same_video():
    config = detr_cases.config("qd_detr")
    _, params = detr_cases.system(config)
    batch = detr_cases.batch()
    _, score, other = forward("qd_detr")(params, batch)
    next_query, next_mask = (np.roll(x, -1, axis=0) for x in (batch.query, batch.query_mask))
    rolled = batch._replace(query=next_query, query_mask=next_mask)
    _, expected, _ = forward("qd_detr")(params, rolled)
    np.testing.assert_allclose(other, expected, rtol=1e-5, atol=1e-6)
    same = batch._replace(video_id=np.zeros_like(batch.video_id))
    terms = family.saliency_losses(config, same, score, other, jax.random.key(0))
    assert float(terms["negative"][1]) == 0 and float(terms["saliency"][1]) > 0


@pytest.mark.parametrize(
    ("switches", "terms"),
    [
        ({"saliency__negatives": False}, {"span", "iou", "label", "saliency"}),
        ({"saliency__ranking": False}, {"span", "iou", "label", "saliency", "negative"}),
    ],
)
def test_switches_leave_terms_out(switches, terms):
    system, params = detr_cases.system(detr_cases.config("qd_detr", **switches))
    found = jax.eval_shape(system.loss, params, detr_cases.batch(), jax.random.key(0), START)
    assert set(found.terms) == terms


@pytest.mark.parametrize("encoder", ["joint", "cross"])
@pytest.mark.parametrize("decoder", ["slots", "anchors"])
@pytest.mark.parametrize("head", ["linear", "token"])
def test_switches_go_together(encoder, decoder, head):
    config = detr_cases.config(encoder=encoder, decoder=decoder, saliency__head=head)
    system = models.make(config, detr_cases.SPECS)
    batch = detr_cases.batch()
    params = jax.eval_shape(system.init, jax.random.key(0), batch)
    assert ("cross_layers_0" in params) == (encoder == "cross")
    assert ("anchor" in params["decoder"]) == (decoder == "anchors")
    assert ("token" in params) == (head == "token")
    moments = jax.eval_shape(system.predict, params, batch)
    assert moments.saliency.shape == batch.video_mask.shape


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"encoder": "both"}, "config.encoder='both': use one of joint, cross"),
        ({"saliency__head": "x"}, "config.saliency.head='x'"),
        ({"heads": 3}, "config.heads=3 does not divide config.dim=8"),
        ({"dim": 6}, "config.dim=6: use a multiple of 4"),
        ({"input__dropout": 1.0}, "config.input.dropout=1.0"),
        ({"decoder_layers": 0}, r"decoder_layers are \(2, 1, 0\): use at least 1"),
        ({"most_moments": 5}, "config.most_moments=5: use 1 to config.slots=4"),
        ({"target__training_moment": "agreed"}, "training_moment='agreed': sets of moments"),
        ({"target__labels": False}, "config.target.labels=False and"),
    ],
)
def test_bad_switches_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        models.make(detr_cases.config(**switches), detr_cases.SPECS)
