"""EVA against its formulas written out, and what must not influence it."""

import eva_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from eva_reference import Reference, alignment, domain, joint, mmd, windows

from vmr_jax import models
from vmr_jax.configs import eva as eva_config
from vmr_jax.models.eva import losses as eva_losses
from vmr_jax.training.host_program import run_on_host
from vmr_jax.types import DataSpec, HybridBatch

NEGATIVES = ([1, 2, 3, 0], [2, 3, 0, 1])


@pytest.fixture
def fixed_negatives(monkeypatch):
    """Give every item the negatives of NEGATIVES, queries first."""
    turn = iter(range(10**6))

    def draw(key, video_id, weight):
        del key
        index = jnp.asarray(NEGATIVES[next(turn) % 2])
        return index, jnp.ones(len(video_id), bool)

    monkeypatch.setattr(eva_losses, "other_video", draw)


def _literal(c, params, batches):
    """Every term of the hybrid loss, each from its equation."""
    p = cases.float64(params)
    weak, full = Reference(c, p, True), Reference(c, p, False)
    target, source = cases.valid_pairs(batches.target), cases.valid_pairs(batches.source)
    views = [full.views(*pair) for pair in source], [weak.views(*pair) for pair in target]
    (source_video, source_query), (target_video, target_query) = map(joint, views)
    weight = c.lambdas
    return {
        "weak": weak.matching(target, NEGATIVES),
        "full_match": weight.f * full.matching(source, NEGATIVES),
        "boundary": weight.f * weight.r * full.boundaries(source, batches.source.span),
        "align": weight.align * alignment(weight.vid, *views),
        "domain": weight.domain * domain(p["domain"]["domain"], *views),
        "domain_mmd": weight.domain
        * (mmd(source_video, target_video) + mmd(source_query, target_query)),
    }


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"cross_position": "after_self1", "cross_update": "sequential", "full__match": "proposals"},
        {"cross_position": "before_self2", "attn__heads": 2, "query_pool_stage": "before"},
        {"attn__layer_norm": "post", "fusion__fc_out": "2d", "full__match": "sim_max"},
        {"fusion__fc_out": "identity", "share": ("self1", "head"), "cross_update": "sequential"},
    ],
)
def test_every_term_equals_its_formula(switches, fixed_negatives):
    c = cases.config(**switches)
    cases.compare_terms(cases, c, _literal, rtol=1e-5, atol=1e-5)


def test_the_gradient_equals_a_float64_difference_of_the_formulas(fixed_negatives):
    c = cases.config(losses__align=False, losses__domain=False)
    made, params = cases.system(c)
    batches = cases.example(c)
    gradient = cases.jit(jax.grad(lambda p: cases.total(made, p, batches)))(params)
    rng = np.random.default_rng(5)
    names = ("weak", "full_match", "boundary")

    def literal(step):
        moved = jax.tree.map(lambda x, d: x + step * d, cases.float64(params), direction)
        p = {**moved, "domain": {"domain": None}}
        weak, full = Reference(c, p, True), Reference(c, p, False)
        target, source = cases.valid_pairs(batches.target), cases.valid_pairs(batches.source)
        terms = weak.matching(target, NEGATIVES), full.matching(source, NEGATIVES)
        return sum(terms) + 0.1 * full.boundaries(source, batches.source.span)

    assert set(jax.eval_shape(lambda p: cases.means(made, p, batches), params)) == set(names)
    for _ in range(3):
        direction = jax.tree.map(lambda x: rng.standard_normal(x.shape), params)
        expected = (literal(1e-6) - literal(-1e-6)) / 2e-6
        found = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.vdot(g, d), gradient, direction)))
        np.testing.assert_allclose(found, expected, rtol=1e-4)


def _fixed_first(key, video_id, weight):
    """Negatives that do not depend on the number of padded items: the first other video."""
    del key
    allowed = (video_id[:, None] != video_id[None]) & (weight[None] > 0)
    return jnp.argmax(allowed, -1), allowed.any(-1)


def _with_items(half, more):
    """The same pairs with more padding, and two more items of weight 0."""
    half, more = map(cases.pad, (half, more))
    both = jax.tree.map(lambda a, b: np.concatenate([a, b[4:]]), half, more)
    return both._replace(weight=np.array([1, 1, 1, 1, 0, 0], np.float32))


def test_padding_and_items_of_weight_zero_influence_nothing(monkeypatch):
    monkeypatch.setattr(eva_losses, "other_video", _fixed_first)
    c = cases.config()
    made, params = cases.system(c)
    batches = cases.example(c)
    padded = HybridBatch(*map(_with_items, batches, cases.example(c, size=6)))

    def loss(params, b):
        terms = cases.means(made, params, b)
        return sum(terms.values()), terms

    run = cases.jit(jax.grad(loss, has_aux=True))
    (gradient, terms), (other, again) = run(params, batches), run(params, padded)
    np.testing.assert_allclose(sum(terms.values()), sum(again.values()), rtol=1e-6)
    for name in terms:
        np.testing.assert_allclose(terms[name], again[name], atol=1e-5, err_msg=name)
    for one, two in zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(one, two, atol=3e-5)  # longer sums
    predict = cases.jit(made.predict)
    small, large = predict(params, batches.target), predict(params, padded.target)
    for one, two in zip(jax.tree.leaves(small), jax.tree.leaves(large), strict=True):
        np.testing.assert_allclose(one, two[:4], atol=1e-5)


def test_without_another_video_only_the_positive_term_is_left():
    c = cases.config(branches__full=False)
    made, params = cases.system(c)
    target = cases.example(c)._replace(video_id=np.zeros(4, np.int32))
    run = lambda p, b: made.loss(p, b, jax.random.key(0), 0).terms["weak"]  # noqa: E731
    total, count = cases.jit(run)(params, target)
    p = cases.float64(params)
    expected = Reference(c, p, True).matching(cases.valid_pairs(target), [[None] * 4] * 2)
    assert count == 4
    np.testing.assert_allclose(total / count, expected, rtol=1e-5)


def test_predictions_are_the_ranked_proposals_in_seconds():
    c = cases.config(eval__nms=1.0)
    made, params = cases.system(c)
    target = cases.example(c).target
    found = cases.jit(made.predict)(params, target)
    p = cases.float64(params)
    reference = Reference(c, p, True)
    for b, (v, q) in enumerate(cases.valid_pairs(target)):
        spans = np.array(windows(len(v), (2, 4), 2)) * 1.5
        logits = reference.rows_and_logits(v, q)[1]
        order = np.argsort(-logits, kind="stable")[:4]
        kept = len(order)
        np.testing.assert_allclose(found.start[b, :kept], spans[order, 0], atol=1e-5)
        np.testing.assert_allclose(found.end[b, :kept], spans[order, 1], atol=1e-5)
        expected = 1 / (1 + np.exp(-logits[order]))
        np.testing.assert_allclose(found.score[b, :kept], expected, atol=1e-5)
        assert (np.asarray(found.score[b, kept:]) == -np.inf).all()


def test_suppression_never_changes_the_first_moment():
    made, params = cases.system(cases.config(eval__nms=0.3))
    plain, _ = cases.system(cases.config(eval__nms=1.0))
    target = cases.batch(cases.SPECS["target"], 6)
    one, other = (cases.jit(system.predict)(params, target) for system in (made, plain))
    np.testing.assert_array_equal(one.start[:, 0], other.start[:, 0])
    np.testing.assert_array_equal(one.end[:, 0], other.end[:, 0])


def test_a_model_of_the_source_alone_searches_start_times_end():
    c = cases.config(branches__weak=False, eval__nms=1.0)
    made, params = cases.system(c)
    target = cases.batch(cases.SPECS["target"])
    found = cases.jit(made.predict)(params, target)
    p = cases.float64(params)
    reference = Reference(c, p, False)
    for b, (v, q) in enumerate(cases.valid_pairs(target)):
        _, start, end = reference.boundary(*reference.views(v, q)[2])
        start, end = (np.exp(x) / np.exp(x).sum() for x in (start, end))
        product = np.triu(np.outer(start, end))
        first, last = np.unravel_index(product.argmax(), product.shape)
        np.testing.assert_allclose(found.start[b, 0], first * 1.5, atol=1e-5)
        np.testing.assert_allclose(found.end[b, 0], (last + 1) * 1.5, atol=1e-5)
        np.testing.assert_allclose(found.score[b, 0], product.max(), atol=1e-5)


def test_a_model_of_the_source_alone_can_rank_the_targets_windows():
    c = cases.config(branches__weak=False, full__match="proposals", eval__nms=1.0)
    made, params = cases.system(c)
    target = cases.batch(cases.SPECS["target"])
    found = cases.jit(made.predict)(params, target)
    p = cases.float64(params)
    c.source.windows, c.source.stride = c.target.windows, c.target.stride
    reference = Reference(c, p, False)
    for b, (v, q) in enumerate(cases.valid_pairs(target)):
        logits = reference.rows_and_logits(v, q)[1]
        best = windows(len(v), (2, 4), 2)[logits.argmax()]
        np.testing.assert_allclose([found.start[b, 0], found.end[b, 0]], np.array(best) * 1.5)


@pytest.mark.parametrize("init", ["xavier", "normal002"])
def test_first_parameters(init):
    made = models.make(cases.config(init=init, dim=64), cases.SPECS)

    def first(key):
        params = made.init(key, None)
        weak, full = params["weak"], params["full"]
        return weak["head"], weak["self1"]["video"], full["self1"]["video"]["query"]

    head, self1, other = run_on_host(lambda: first(jax.random.key(0)))
    assert not np.asarray(self1["fc_bias"]).any() and not np.asarray(head["fc_bias"]).any()
    kernel = np.asarray(self1["query"])
    assert not np.array_equal(kernel, np.asarray(self1["key"]))
    assert not np.array_equal(kernel, np.asarray(other))
    if init == "xavier":
        limit = (6 / 128) ** 0.5
        assert 0.95 * limit < np.abs(kernel).max() <= limit
    else:
        assert abs(kernel.std() / 0.02 - 1) < 0.05


@pytest.mark.parametrize(
    ("width", "at_test", "training"),
    [
        (1024, 2_045_953, 3_765_006),
        pytest.param(500, 1_911_809, 3_496_718, marks=pytest.mark.slow),  # a further width
    ],
)
def test_parameters_of_the_papers_set_up(width, at_test, training):
    c = eva_config.get_config("tvr,charades_sta" if width == 1024 else "tvr,activitynet_captions")
    specs = {
        role: DataSpec(width, 300, c[role].max_clips, c[role].max_words)
        for role in ("source", "target")
    }
    made = models.make(c, specs)
    params = jax.eval_shape(made.init, jax.random.key(0), None)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == training
    tested = {"shared": params["shared"], "weak": params["weak"]}
    assert sum(leaf.size for leaf in jax.tree.leaves(tested)) == at_test
    c.branches.full = False
    alone = jax.eval_shape(models.make(c, specs).init, jax.random.key(0), None)
    assert sum(leaf.size for leaf in jax.tree.leaves(alone)) == at_test
    batches = HybridBatch(*(cases.batch(specs[role], 6) for role in ("source", "target")))
    terms = jax.eval_shape(made.loss, params, batches, jax.random.key(0), 0)
    assert all(leaf.shape == () for leaf in jax.tree.leaves(terms))
    moments = jax.eval_shape(made.predict, params, batches.target)
    assert all(leaf.shape == (6, c.eval.top_k) for leaf in jax.tree.leaves(moments))
