"""VLANet against its formulas in float64, and what must not influence it."""

import eva_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import vlanet_cases as cases
import vlanet_reference as reference

from tests.first_parameters import init
from tests.gradients import check_gradients
from vmr_jax import models
from vmr_jax.models.vlanet import system as vlanet
from vmr_jax.models.vlanet.network import Videos, VLANet, make_groups, select_surrogates
from vmr_jax.training.steps import term_means

jit = eva_cases.jit
NEGATIVES = np.array([2, 3, 1, 0])


@pytest.fixture
def fixed_negatives(monkeypatch):
    """Give every item the negative of NEGATIVES."""

    def draw(key, video_id, weight):
        return jnp.asarray(NEGATIVES), jnp.ones(len(video_id), bool)

    monkeypatch.setattr(vlanet, "other_video", draw)


@pytest.fixture(scope="module")
def default():
    """The system without switches, its parameters, a batch, and its compiled prediction."""
    made, params = cases.system(cases.config())
    return made, params, cases.batch(), jit(made.predict)


def _run(c, made, params, b):
    """The network's output, the prediction and the map of attention, of one program."""

    @jit
    def run(p, b):
        return VLANet(c).apply({"params": p}, b), made.predict(p, b), made.attention(p, b)

    return run(params, b)


SWITCHES = [
    {},
    {"attn__rescale_n": True, "vla__reduce": "mean", "infer__score": "vla"},
    {"cascade": ("v2q", "q2v"), "cascade_repeat": 2, "infer__score": "product"},
    {"query__norm_stage": "before_fc", "attn__share_weights": True},
    {"query__norm_stage": "both", "surrogate": False},
    {"self_attn": False, "infer__score": "product"},
    {"cross_attn": False},
    {"proposals__cut": False, "proposals__widths": (1, 2, 3), "proposals__stride": 1},
    {"proposals__stride": 1, "proposals__widths": (2, 3, 4, 5)},
    {"cascade": ("q2v", "v2q"), "surrogate": False, "infer__score": "vla"},
    {"cross_attn": False, "infer__score": "product"},
    {"self_attn": False, "cross_attn": False},
    {"surrogate": False, "infer__score": "product", "attn__rescale_n": True},
]


@pytest.mark.parametrize("switches", SWITCHES)
def test_a_pair_goes_through_the_network_as_the_formulas_say(switches):
    c = cases.config(**switches)
    made, params = cases.system(c)
    b = cases.batch()
    found, moments, attention = _run(c, made, params, b)
    b, p = jax.device_get(b), eva_cases.float64(params)
    for i, (clips, words) in enumerate(eva_cases.valid_pairs(b)):
        expected = reference.align(p, c, clips, words)
        for (k, scale), value in expected["cosine"].items():
            np.testing.assert_allclose(found.cosine[i, k, scale], value, rtol=1e-4, atol=1e-5)
        chosen = [tuple(cell) for cell in np.argwhere(np.asarray(found.chosen[i])).tolist()]
        assert chosen == sorted(expected["chosen"])
        real = np.isfinite(np.asarray(found.rank[i]))
        close = {"rtol": 2e-4, "atol": 1e-5}
        np.testing.assert_allclose(found.strength[i][real], expected["strength"], **close)
        np.testing.assert_allclose(found.video[i][real], expected["video"], **close)
        np.testing.assert_allclose(found.query[i, : len(words)], expected["query"], **close)
        np.testing.assert_allclose(found.similarity[i], expected["similarity"], **close)
        assert not np.asarray(found.strength[i])[~real].any()
        _compare_ranking(c, expected, moments, b, i)
        _compare_attention(expected, attention, p, b, i)


def _compare_ranking(c, expected, moments, b, i):
    """Predicted seconds against the reference's order, without repeats."""
    listed, others = reference.ranking(expected)
    spans = [expected["spans"][cell] for cell in [*listed, *others]]
    clip = float(b.duration[i]) / int(b.num_clips[i])
    seconds = [tuple(clip * x for x in span) for span in dict.fromkeys(spans)]
    count = min(len(seconds), c.eval.top_k)
    found = np.stack([moments.start[i], moments.end[i]], axis=-1)
    np.testing.assert_allclose(found[:count], seconds[:count], rtol=1e-5)
    score = np.asarray(moments.score[i])
    assert np.isfinite(score[:count]).all() and (np.diff(score[:count]) <= 0).all()
    assert np.isneginf(score[count:]).all()
    assert (found[:count, 1] > found[:count, 0]).all()
    assert (found[:count, 1] <= float(b.duration[i]) * 1.00001).all()


def _compare_attention(expected, found, p, b, i):
    """The map of attention against the rows of the reference's cascade."""
    rows = np.asarray(found.valid[i])
    np.testing.assert_allclose(found.strength[i][rows], expected["strength"], rtol=1e-4)
    clip = float(b.duration[i]) / int(b.num_clips[i])
    spans = clip * np.array([expected["spans"][cell] for cell in expected["chosen"]])
    np.testing.assert_allclose(np.stack([found.start[i], found.end[i]], -1)[rows], spans, rtol=1e-5)
    words = reference.terms(p["final"], expected["video"], expected["query"])
    np.testing.assert_allclose(
        found.words[i][rows][:, : words.shape[1]], words, rtol=5e-4, atol=1e-6
    )


@pytest.mark.parametrize("sides", ["query", "both"])
@pytest.mark.parametrize("mode", ["reencode", "shared_vcomp"])
def test_the_loss_is_the_mean_hinge_over_its_pairs(fixed_negatives, sides, mode):
    c = cases.config(negatives__sides=sides, negatives__mode=mode)
    made, params = cases.system(c)
    b = cases.batch()
    losses = jit(lambda p, b: made.loss(p, b, jax.random.key(0), 0))(params, b)
    means, watched = term_means(losses.terms), term_means(losses.watched)
    p, pairs = eva_cases.float64(params), eva_cases.valid_pairs(b)
    own = [reference.align(p, c, *pair) for pair in pairs]

    def similarity(video, query):
        if mode == "reencode":
            return reference.align(p, c, pairs[video][0], pairs[query][1])["similarity"]
        compact = own[video]["video"].sum(axis=0)[None]
        return reference.alignment(p["final"], compact, own[query]["query"], c.vla.reduce)[0]

    positive = np.array([similarity(i, i) for i in range(4)])
    other_query = np.array([similarity(i, NEGATIVES[i]) for i in range(4)])
    other_video = np.array([similarity(NEGATIVES[i], i) for i in range(4)])
    expected = {"contrastive": np.maximum(0, 0.5 - positive + other_query).mean()}
    if sides == "both":
        expected["contrastive_video"] = np.maximum(0, 0.5 - positive + other_video).mean()
    assert set(means) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(means[name], value, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(watched["similarity_positive"], positive.mean(), rtol=1e-4)
    np.testing.assert_allclose(watched["similarity_negative"], other_query.mean(), rtol=1e-4)


def test_items_without_a_partner_are_left_out():
    c = cases.config()
    made, params = cases.system(c)
    b = cases.batch()
    loss = jit(lambda b: made.loss(params, b, jax.random.key(0), 0).terms["contrastive"])
    total, count = loss(b._replace(video_id=jnp.zeros(4, jnp.int32)))
    assert (total, count) == (0, 0)
    padded = b._replace(weight=jnp.array([1.0, 1.0, 0.0, 0.0]))
    short = jax.tree.map(lambda leaf: leaf[:2], b)
    np.testing.assert_allclose(loss(padded), loss(short), rtol=1e-5)


def test_gradients_of_the_loss(fixed_negatives):
    c = cases.config(margin=5.0)  # no pair is at the hinge
    made, params = cases.system(c, scale=0.5)
    b = cases.batch()

    def loss(params):
        total, count = made.loss(params, b, jax.random.key(0), 0).terms["contrastive"]
        return total / count

    check_gradients(loss, (params,), atol=2e-2, rtol=2e-2, eps=1e-3)


def test_only_the_chosen_proposals_have_a_gradient():
    rng = np.random.default_rng(0)
    proposals = jnp.asarray(rng.standard_normal((2, 3, 4, 5)), jnp.float32)
    valid = jnp.asarray(rng.random((2, 3, 4)) < 0.8).at[0, 2].set(False)
    last = jnp.asarray(rng.standard_normal((2, 5)), jnp.float32)

    @jax.jit
    def rows(proposals, last):
        cosine = jnp.einsum("bkld,bd->bkl", proposals, last)
        return select_surrogates(Videos(proposals, valid), cosine)

    chosen, picked, mask = rows(proposals, last)
    assert (np.asarray(chosen).sum(-1) == np.asarray(valid.any(-1))).all()
    assert not np.asarray(chosen & ~valid).any()
    np.testing.assert_array_equal(mask, valid.any(-1))
    np.testing.assert_allclose(np.asarray(proposals)[np.asarray(chosen)], picked[mask], rtol=1e-6)
    np.testing.assert_array_equal(rows(proposals, 7 * last)[0], chosen)
    weight = jnp.asarray(rng.standard_normal((2, 3, 5)), jnp.float32)
    total = lambda p, q: jnp.sum(rows(p, q)[1] * weight)  # noqa: E731
    gradients = jax.jit(jax.grad(total, argnums=(0, 1)))(proposals, last)
    assert np.asarray(gradients[0])[np.asarray(chosen)].any()
    assert not np.asarray(gradients[0])[~np.asarray(chosen)].any()
    assert not np.asarray(gradients[1]).any()  # nothing passes through the choice


def test_equal_proposals_choose_the_smaller_window():
    proposals = jnp.ones((1, 1, 3, 2))
    chosen, *_ = select_surrogates(
        Videos(proposals, jnp.ones((1, 1, 3), bool)), jnp.ones((1, 1, 3))
    )
    assert np.asarray(chosen[0, 0]).tolist() == [True, False, False]


def test_padding_of_words_clips_and_groups_changes_nothing(fixed_negatives, default):
    made, params, b, predict = default
    padded = eva_cases.pad(b, clips=8, words=3)

    @jit
    def loss_and_gradient(params, b):
        def loss(params):
            return made.loss(params, b, jax.random.key(0), 0).terms["contrastive"][0]

        return jax.value_and_grad(loss)(params)

    one, two = loss_and_gradient(params, b), loss_and_gradient(params, padded)
    for small, large in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(small, large, rtol=1e-4, atol=1e-5)
    small, large = predict(params, b), predict(params, padded)
    finite = np.isfinite(np.asarray(small.score))
    np.testing.assert_array_equal(finite, np.isfinite(np.asarray(large.score)))
    for one, two in zip(small[:2], large[:2], strict=True):
        np.testing.assert_allclose(np.asarray(one)[finite], np.asarray(two)[finite], rtol=1e-5)


def test_what_stands_on_padding_changes_nothing(default):
    _, params, b, predict = default
    dirty = b._replace(
        video=jnp.where(b.video_mask[..., None], b.video, 9.0),
        query=jnp.where(b.query_mask[..., None], b.query, 9.0),
    )
    one, two = predict(params, b), predict(params, dirty)
    for clean, other in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_allclose(clean, other, rtol=1e-6)


def test_boundaries_are_never_read():
    c = cases.config()
    made, params = cases.system(c)
    b = cases.batch()
    hidden = b._replace(moment=jnp.full_like(b.moment, jnp.nan), span=jnp.full_like(b.span, -1))
    loss = jit(lambda b: made.loss(params, b, jax.random.key(0), 0))
    one, two = loss(b), loss(hidden)
    for seen, blind in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(seen, blind)


def test_didemo_ranks_all_21_moments_surrogates_first():
    spec = cases.SPEC._replace(max_clips=6)
    c = cases.config("didemo", proposals__stride=1, proposals__widths=(1, 2, 3, 4, 5, 6))
    b = eva_cases.batch(spec, 4)._replace(
        num_clips=np.array([6, 5, 6, 5], np.int32),
        duration=np.array([30, 25, 30, 25], np.float32),
    )
    b = b._replace(video_mask=np.arange(6) < b.num_clips[:, None])
    made = models.make(c, {"target": spec})
    params = init(made, b)
    aligned, moments, _ = _run(c, made, params, b)
    every = {(5.0 * k, 5.0 * e) for k in range(6) for e in range(k + 1, 7)}
    for i, clips in enumerate(b.num_clips):
        found = np.stack([moments.start[i], moments.end[i]], -1)
        assert {tuple(row) for row in found.round(3).tolist()} == every and len(found) == 21
        assert np.isfinite(moments.score[i]).all()
        surrogates = np.argwhere(np.asarray(aligned.chosen[i]))
        spans = {(5.0 * k, 5.0 * (k + w + 1)) for k, w in surrogates.tolist()}
        assert {tuple(row) for row in found[:clips].round(3).tolist()} == spans
        beyond = [(5.0 * k, 30.0) for k in range(6)] if clips == 5 else []
        assert [tuple(row) for row in found[21 - len(beyond) :].round(3).tolist()] == beyond


def test_without_fill_only_surrogates_are_listed():
    c = cases.config(infer__fill=False)
    made, params = cases.system(c)
    b = cases.batch()
    moments = jit(made.predict)(params, b)
    p = eva_cases.float64(params)
    for i, (clips, words) in enumerate(eva_cases.valid_pairs(b)):
        expected = reference.align(p, c, clips, words)
        spans = {expected["spans"][cell] for cell in reference.ranking(expected)[0]}
        listed = np.isfinite(np.asarray(moments.score[i]))
        found = np.stack([moments.start[i], moments.end[i]], -1)[listed]
        clip = float(b.duration[i]) / len(clips)
        assert {tuple(row) for row in np.rint(found / clip).astype(int).tolist()} == spans


def test_a_stride_in_frames_is_a_part_of_a_clip():
    c = cases.config(proposals__stride=8, proposals__stride_unit="frame")
    assert make_groups(c, 5).start.tolist() == [0, 1, 1, 2, 2, 3, 3, 4, 4]
    c.proposals.stride_unit = "step"
    assert make_groups(c, 20).start.tolist() == [0, 8, 16]


def test_ranks_tell_apart_what_weights_near_a_mean_cannot():
    """Rows rank by E (VLANet V9): softmax weights near 1 / R lose its last digits in float32."""
    c = cases.config(proposals__stride=1, proposals__widths=(1, 2))
    made, params = cases.system(c)
    small = jax.tree.map(lambda leaf: leaf * 0.003, params)
    aligned = jit(lambda p, b: VLANet(c).apply({"params": p}, b))(small, cases.batch())
    rank, weight = np.asarray(aligned.rank[0]), np.asarray(aligned.strength[0])
    assert len(set(rank.tolist())) > len(set(weight.tolist()))
    assert (np.diff(weight[np.argsort(-rank, kind="stable")]) <= 0).all()


def test_bfloat16_is_near_float32():
    b = cases.batch()
    found = {}
    for precision in ("float32", "bfloat16"):
        c = cases.config(precision=precision, surrogate=False)
        made, params = cases.system(c, scale=0.4)

        def loss(params, made=made):
            total, count = made.loss(params, b, jax.random.key(0), 0).terms["contrastive"]
            return total / count

        found[precision], gradient = jit(jax.value_and_grad(loss))(params)
        for leaf in jax.tree.leaves((found[precision], gradient)):
            assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all()
    np.testing.assert_allclose(found["bfloat16"], found["float32"], rtol=0.05)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"vla__reduce": "max"}, "config.vla.reduce='max': use one of sum, mean"),
        ({"infer__score": "q2v"}, "config.infer.score='q2v': use one of last_q2v, vla, product"),
        ({"cascade": ("q2q",)}, "config.cascade=.'q2q',.: give a tuple of 'q2v' and 'v2q'"),
        ({"cascade": ("v2q",)}, "at least one 'q2v'"),
        ({"cascade_repeat": 0}, "config.cascade_repeat=0: use at least 1"),
        ({"margin": 0.0}, "config.margin=0.0: a hinge needs a margin above 0"),
        ({"proposals__widths": ()}, "make no proposals: give at least one width"),
        ({"proposals__widths": (2.5, 4.0)}, "widths of whole clips"),
        ({"proposals__stride": 0}, "make no proposals"),
        ({"proposals__frames_per_clip": 0}, "frames_per_clip=0: use at least 1"),
    ],
)
def test_wrong_switches_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        models.make(cases.config(**switches), cases.SPECS)


@pytest.mark.parametrize(
    "switches",
    [{"infer__fill": False}, {"proposals__cut": True}, {"proposals__widths": (1, 2, 3)}],
)
def test_what_does_not_rank_all_of_didemo_is_refused_before_training(switches):
    grid = {"proposals__stride": 1, "proposals__widths": (1, 2, 3, 4, 5, 6)}
    c = cases.config("didemo", **(grid | switches))
    with pytest.raises(ValueError, match="needs a ranking of all 21 moments; config.proposals"):
        models.make(c, cases.SPECS)
