"""MMCDA against its formulas written out, and what must not influence it."""

import eva_cases
import jax
import jax.numpy as jnp
import mmcda_cases as cases
import mmcda_reference as reference
import numpy as np
import pytest

from vmr_jax import models
from vmr_jax.configs import mmcda as mmcda_config
from vmr_jax.models.mmcda import losses as mmcda_losses
from vmr_jax.models.mmcda.network import Views
from vmr_jax.types import STATISTICS, DataSpec, HybridBatch

OTHERS = (
    {"da__kind": "adversarial", "sa__neg": "hardest", "position": "sinusoidal"},
    {"da__kind": "coral", "video_encoder": "bigru", "share_encoders": False},
    {"pseudo_labels": True, "da__points": ("fused",), "lambdas__ca": 0.3, "infer__eta": 0.7},
)
# Programs that several tests share: a map's, and one of all terms of the spans.
MEASURED = (
    {"pseudo_labels": True},
    {
        "base": "map2d",
        "video_encoder": "bigru",
        "da__kind": "coral",
        "mmd__samples": "elements",
        "mmd__elements": 6,
        "mmd__kernel": "median_single",
        "ramp": False,
    },
)


def _halves(c, params, batches):
    p = eva_cases.float64(params)
    return p, *(
        reference.Half(c, p, role, eva_cases.valid_pairs(half), np.asarray(half.span))
        for role, half in zip(("source", "target"), batches, strict=True)
    )


def _literal(c, params, batches):
    p, source, target = _halves(c, params, batches)
    ids = [np.asarray(half.video_id) for half in batches]
    return reference.total(c, p, source, target, *ids)


@pytest.mark.parametrize("switches", [{}, *OTHERS])
def test_every_term_equals_its_formula(switches):
    c = cases.config(**switches)
    eva_cases.compare_terms(cases, c, _literal, rtol=2e-4, atol=2e-5)


@pytest.mark.parametrize("aligned", [False, True])
def test_the_upper_bound_learns_the_targets_boundaries(aligned):
    joint = {"joint_clips": "projected", "joint_words": "given"}
    further = {"align_target": True, "edges": (1, 2), **joint}
    switches = further if aligned else {}
    c = cases.config(supervision="target", target__labels=True, **switches)
    made, params = cases.system(c)
    batch = cases.example(c)
    half = reference.Half(
        c,
        eva_cases.float64(params),
        "target",
        eva_cases.valid_pairs(batch),
        np.asarray(batch.span),
    )
    found = cases.jit(lambda p, b: cases.means(made, p, b))(params, batch)
    expected = reference.localization(half)
    if aligned:
        ids = batch.video_id[: len(half.F)]
        expected |= {
            "source_pairs": 0.5 * reference.source_pairs(half, ids, c.ca.temperature),
            "frames": 0.5 * reference.frames(half),
            "frame_ranking": 0.5 * reference.frame_ranking(half, c.sa.margin),
        }
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=2e-4, err_msg=name)


def test_the_gradient_equals_a_float64_difference_of_the_formulas():
    c = cases.config(modules__da=False, ca__target_mmd=False)
    made, params = cases.system(c)
    batches = cases.example(c)
    gradient = cases.jit(jax.grad(lambda p: cases.total(made, p, batches)))(params)
    rng = np.random.default_rng(5)
    terms = jax.eval_shape(lambda p: cases.means(made, p, batches), params)

    def literal(step):
        moved = jax.tree.map(lambda x, d: x + step * d, eva_cases.float64(params), direction)
        every = _literal(c, moved, batches)
        return sum(every[name] for name in terms)

    for _ in range(2):
        direction = jax.tree.map(lambda x: rng.standard_normal(x.shape), params)
        expected = (literal(1e-6) - literal(-1e-6)) / 2e-6
        found = sum(jax.tree.leaves(jax.tree.map(lambda g, d: np.vdot(g, d), gradient, direction)))
        np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize(
    "switches",
    [
        {},
        {"infer__similar": "sum", "joint_words": "given"},
        {"infer__similar": "sum", "modules__ca": False, "modules__sa": False},
    ],
    ids=["contrast", "sum", "no joint space"],
)
def test_predictions_are_the_spans_by_their_scores(switches):
    c = cases.config(eval__nms=1.0, **switches)
    made, params = cases.system(c)
    batches = cases.example(c)
    _, source, target = _halves(c, params, batches)
    for predict, half, batch in (
        (made.predict, target, batches.target),
        (made.predict_source, source, batches.source),
    ):
        found = cases.jit(predict)(params, batch)
        for i in range(4):
            spans = sorted(reference.spans(c, half, i), key=lambda span: -span[2])[:4]
            count = len(spans)
            first, last, score, _ = map(np.array, zip(*spans, strict=True))
            np.testing.assert_allclose(found.start[i, :count], first * 1.5, atol=1e-5)
            np.testing.assert_allclose(found.end[i, :count], (last + 1) * 1.5, atol=1e-5)
            np.testing.assert_allclose(found.score[i, :count], score, rtol=1e-4, atol=1e-4)
            assert (np.asarray(found.score[i, count:]) == -np.inf).all()


@pytest.mark.parametrize("joint_words", ["encoded", "given"])
def test_the_words_parts_have_the_similarity_as_their_mean(joint_words):
    c = cases.config(joint_words=joint_words)
    made, params = cases.system(c)
    batches = cases.example(c)
    _, _, target = _halves(c, params, batches)
    seen = cases.jit(made.attention)(params, batches.target)
    for i, (video, words) in enumerate(eva_cases.valid_pairs(batches.target)):
        n, m = len(video), len(words)
        np.testing.assert_allclose(seen.strength[i, :n], target.s(i, i), atol=1e-5)
        np.testing.assert_allclose(seen.words[i, :n, :m].mean(1), target.s(i, i), atol=1e-5)
        assert not np.asarray(seen.words[i, :, m:]).any()
        np.testing.assert_allclose(seen.start[i, :n], 1.5 * np.arange(n), atol=1e-5)
    off = {f"modules__{name}": False for name in ("ca", "sa")}
    assert models.make(cases.config(**off), cases.SPECS).attention is None


def _with_items(half, more):
    """The same pairs with more padding, and two more items of weight 0 without a moment."""
    half, more = map(eva_cases.pad, (half, more))
    half = jax.tree.map(lambda a, b: np.concatenate([a, b[4:]]), half, more)
    hidden = np.arange(6) >= 4
    return half._replace(
        weight=np.float32(~hidden),
        moment=np.where(hidden[:, None], np.nan, half.moment).astype(np.float32),
        span=np.where(hidden[:, None], -1, half.span),
    )


@pytest.mark.parametrize(
    "switches",
    [  # a sample of elements is another one of a padded batch
        MEASURED[0],
        pytest.param(MEASURED[1] | {"mmd__samples": "mean"}, marks=pytest.mark.slow),
    ],
)
def test_padding_and_items_of_weight_zero_influence_nothing(switches):
    c = cases.config(**switches)
    made, params = cases.system(c)
    batches = cases.example(c)
    padded = HybridBatch(*map(_with_items, batches, cases.example(c, size=6)))
    run = cases.measured(*switches.items())
    (terms, gradient), (again, other) = (run(params, b, cases.END) for b in (batches, padded))
    np.testing.assert_allclose(sum(terms.values()), sum(again.values()), rtol=1e-5)
    for name in terms:
        np.testing.assert_allclose(terms[name], again[name], atol=3e-5, err_msg=name)
    for one, two in zip(jax.tree.leaves(gradient), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-4)
    predict = cases.jit(made.predict)
    one, other = predict(params, batches.target), predict(params, padded.target)
    for short, long in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_allclose(short, long[:4], atol=3e-5)


@pytest.mark.parametrize(
    "switches", [pytest.param(MEASURED[0], marks=pytest.mark.slow), MEASURED[1]]
)
def test_the_targets_boundaries_are_never_read(switches):
    c = cases.config(**switches)
    _, params = cases.system(c)
    batches = cases.example(c)
    hidden = batches.target._replace(
        moment=np.full((4, 2), np.nan, np.float32), span=np.full((4, 2), -1, np.int32)
    )
    garbage = batches.target._replace(
        moment=batches.target.moment[::-1] * 9, span=batches.target.span[::-1]
    )
    run = cases.measured(*switches.items())
    found = [
        run(params, batches._replace(target=x), cases.END)
        for x in (batches.target, hidden, garbage)
    ]
    for other in found[1:]:
        jax.tree.map(np.testing.assert_array_equal, found[0], other)
    trained = {name: leaf for name, leaf in found[0][1].items() if name != STATISTICS}
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(trained))


def test_without_factors_the_target_has_no_gradient():
    c = cases.config(lambdas__da=0.0, lambdas__ca=0.0, lambdas__sa=0.0)
    made, params = cases.system(c)
    batches = cases.example(c)
    gradient = cases.jit(jax.grad(lambda p, b: cases.total(made, p, b)))
    other = batches._replace(target=cases.pairs("target", seed=5))
    jax.tree.map(np.testing.assert_array_equal, gradient(params, batches), gradient(params, other))
    terms = jax.eval_shape(lambda p: cases.means(made, p, batches), params)
    assert set(terms) == {"boundary", "inside"}
    assert not {"joint_video", "joint_query"} & set(params)
    full = set(cases.system(cases.config())[1])
    assert {"joint_video", "joint_query"} <= full


def test_equal_halves_have_no_distance():
    for kind in ("mmd", "coral"):
        c = cases.config(da__kind=kind, modules__ca=False, modules__sa=False)
        made, params = cases.system(c)
        source = cases.example(c).source
        run = cases.jit(lambda p, b, made=made: cases.means(made, p, b))
        terms = run(params, HybridBatch(source, source))
        for point in c.da.points:
            assert abs(terms[f"domain_{point}"]) < 1e-6


def _views(similarity, clips=None):
    """Views and their batch, with given similarities (B, N) of clips and sentences."""
    s = jnp.asarray(similarity, jnp.float32)
    blank = [None] * len(Views._fields)
    views = Views(*blank)._replace(
        video_mask=jnp.ones(s.shape, bool),
        clips=jnp.stack([s, jnp.sqrt(1 - s**2)], axis=-1),
        sentence=jnp.tile(jnp.array([1.0, 0.0]), (len(s), 1)),
    )
    batch = jax.tree.map(lambda x: x[: len(s)], cases.pairs("source"))
    return views, batch._replace(video_id=np.arange(len(s)))


def _mean(term):
    return float(term[0] / term[1])


def test_frames_without_a_similarity_cost_ln_2_whatever_the_span():
    views, batch = _views(np.zeros((4, 7)))
    for first, last in ((0, 0), (2, 5), (0, 6)):
        spans = batch._replace(span=np.tile([first, last], (4, 1)))
        assert abs(_mean(mmcda_losses._frames(cases.config(), views, spans)) - 0.6931472) < 1e-6


def test_frame_ranking_has_the_golden_values():
    rank = mmcda_losses._frame_ranking
    for inside, expected in ((0.6, 0.1), (0.9, 0.0)):
        views, batch = _views([[inside, inside, 0.5, 0.5, 0.5, 0.5, 0.5, -0.9]])
        batch = batch._replace(span=np.array([[0, 1]]))
        assert abs(_mean(rank(cases.config(), views, batch)) - expected) < 1e-6
    loss, count = rank(cases.config(), views, batch._replace(span=np.array([[0, 7]])))
    assert loss == 0 and count == 0


def test_instances_of_equal_scores_cost_two_margins():
    views, batch = _views(np.full((3, 9), 0.3))
    for neg in ("mean", "hardest"):
        term = mmcda_losses._instances(cases.config(sa__neg=neg), views, batch)
        assert abs(_mean(term) - 0.4) < 1e-6
    alone = batch._replace(video_id=np.zeros(3, np.int32))
    assert mmcda_losses._instances(cases.config(), views, alone)[1] == 0


def test_a_moment_that_is_the_whole_video_costs_finitely():
    c = cases.config(**MEASURED[0])
    _, params = cases.system(c)
    batches = cases.example(c)
    whole = jnp.stack([jnp.zeros(4, jnp.int32), batches.source.num_clips - 1], axis=-1)
    batches = batches._replace(source=batches.source._replace(span=whole))
    terms, gradient = cases.measured(*MEASURED[0].items())(params, batches, cases.END)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((terms, gradient)))
    assert terms["frame_ranking"] == 0


def test_terms_grow_over_the_first_tenth():
    c = cases.config(**MEASURED[0])
    _, params = cases.system(c)
    batches = cases.example(c)
    run = cases.measured(*MEASURED[0].items())
    start, half, full, end = (
        run(params, batches, cases.END._replace(fraction=jnp.float32(f)))[0]
        for f in (0, 0.05, 0.1, 1)
    )
    growing = {"target_pairs", "target_modalities", "instances"}
    growing |= {name for name in full if name.startswith(("domain", "pseudo"))}
    for name in full:
        share = (0, 0.5) if name in growing else (1, 1)
        for found, factor in zip((start, half), share, strict=True):
            np.testing.assert_allclose(found[name], factor * full[name], rtol=1e-5, err_msg=name)
        assert full[name] == end[name]


@pytest.mark.parametrize(("domains", "width"), [("tvr,charades_sta", 1024)])
def test_parameters_of_the_full_size(domains, width):
    c = mmcda_config.get_config(domains)
    specs = {
        role: DataSpec(width, 300, c[role].max_clips, c[role].max_words)
        for role in ("source", "target")
    }
    made = models.make(c, specs)
    batches = HybridBatch(*(eva_cases.batch(specs[role], 6) for role in ("source", "target")))
    params = jax.eval_shape(made.init, jax.random.key(0), batches)
    sizes = {name: sum(x.size for x in jax.tree.leaves(p)) for name, p in params.items()}
    d, gates = 256, 3 * (300 + 128 + 1) * 128 + 128
    assert sizes == {
        "video_fc_both": (width + 1) * d,
        "positions": 128 * d,
        "video_encoder": 12 * d * d + 13 * d,
        "query_encoder": 2 * gates,
        "interaction": 12 * d * d + 13 * d,
        "boundary": 5 * d * 2,
        "inside_0": (d + 1) * d,
        "inside_1": d + 1,
        "joint_video": (d + 1) * d,
        "joint_query": (d + 1) * d,
    }
    terms = jax.eval_shape(made.loss, params, batches, jax.random.key(0), cases.END)
    assert all(leaf.shape == () for leaf in jax.tree.leaves(terms.terms))
    moments = jax.eval_shape(made.predict, params, batches.target)
    assert all(leaf.shape == (6, c.eval.top_k) for leaf in jax.tree.leaves(moments))
