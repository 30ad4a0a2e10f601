"""PREM's localizer against its formulas in float64, and what must not influence it."""

import functools

import eva_cases
import jax
import jax.numpy as jnp
import numpy as np
import prem_cases as cases
import prem_reference as reference
import pytest
from jax.test_util import check_vjp

from vmr_jax import models
from vmr_jax.training.state import num_parameters
from vmr_jax.training.steps import term_means
from vmr_jax.types import DataSpec, Queries, Videos

pytestmark = pytest.mark.usefixtures("quick_random_numbers")
jit = eva_cases.jit
SPANS = [(2, 6), (0, 1), (4, 4)]  # of cases.candidates()
CLOSE = {"rtol": 5e-4, "atol": 1e-4}


def _total(made):
    def loss(params, b, key=None):
        key = jax.random.key(0) if key is None else key
        means = term_means(made.loss(params, b, key, None).terms)
        return sum(means.values()), means

    return loss


def _locate(made):
    """jit: (params, batch) -> logits, by way of the codes that the search keeps."""
    localizer = made

    @jit
    def run(params, b):
        flat = Videos(*(x.reshape(-1, *x.shape[2:]) for x in (b.video, b.video_mask, b.sub)))
        code = localizer.encode_videos(params, flat)
        code = jax.tree.map(lambda x: x.reshape(*b.video.shape[:2], *x.shape[1:]), code)
        query = localizer.encode_queries(params, Queries(b.query, b.query_mask))
        return localizer.locate(params, query, code, b.video_mask)

    return run


@pytest.fixture(scope="module")
def default():
    """The config, system, parameters, a batch, compiled logits and loss."""
    c = cases.config("prem_localizer")
    made, params = cases.system(c)
    return c, made, params, cases.candidates(), _locate(made), jit(_total(made))


def _expected(c, params, b):
    """For each query and video the reference's (start, end, content) of the valid clips."""
    p, b = eva_cases.float64(params), jax.tree.map(np.asarray, b)
    return [
        [
            reference.locate(
                p,
                c,
                np.float64(b.query[i][b.query_mask[i]]),
                np.float64(b.video[i, k][b.video_mask[i, k]]),
                np.float64(b.sub[i, k][b.video_mask[i, k]]),
            )
            for k in range(b.video.shape[1])
        ]
        for i in range(len(b.weight))
    ]


def _boundary_loss(c, videos, span):
    """L^st + L^ed of one query."""
    shown = videos if c.shared_norm else videos[:1]
    loss = 0.0
    for side in (0, 1):
        logits = np.concatenate([video[side] for video in shown])
        loss += np.log(np.exp(logits).sum()) - videos[0][side][span[side]]
    return loss


def _content_loss(c, p, videos, span):
    """L^c of one query, by listing segments."""
    clips = len(videos[0][0])
    overlap = {}
    for i in range(clips):
        for j in range(i, clips):
            inter = min(j, span[1]) - max(i, span[0]) + 1
            union = (j - i + 1) + (span[1] - span[0] + 1) - inter
            if inter > 0 and 10 * inter > 7 * union:
                overlap[i, j] = inter / union
    near = sorted(overlap, key=lambda segment: (-overlap[segment], segment))[: c.lc.max_pos]

    def logit(video, i, j):
        return video[2][i : j + 1].max(0) @ p["class_kernel"] + p["class_bias"]

    positive = [np.log1p(np.exp(-logit(videos[0], *segment))) for segment in near]
    negative = []
    for video in videos[1:]:
        score = {
            (i, j): video[0][i] + video[1][j]
            for i in range(len(video[0]))
            for j in range(i, len(video[0]))
            if c.infer.min_l <= j - i <= c.infer.max_l
        }
        best = sorted(score, key=score.get, reverse=True)[:5]
        negative += [np.log1p(np.exp(logit(video, *segment))) for segment in best]
    if c.lc.reduction == "balanced":
        return np.mean([np.mean(positive), np.mean(negative)])
    return np.mean(positive + negative)


SWITCHES = [
    {},
    {
        "gate": "sigmoid",
        "head": "conv5_single",
        "lc__share_fusion": True,
        "lc__reduction": "balanced",
        "lc__max_pos": 2,
        "pooling": "max",
        "sub__mask_empty": True,
    },
    {
        "gate": "none",
        "head": "conv3",
        "shared_norm": False,
        "modalities": ("image",),
        "infer__max_l": 20,
        "act": "gelu",
        "edges": (1, 2),
    },
    {"lc__enabled": False, "modalities": ("sub",), "pos": "sin"},
]


@pytest.mark.parametrize("switches", SWITCHES)
def test_logits_and_losses_are_those_of_the_formulas(switches, default):
    if switches:
        c = cases.config("prem_localizer", **switches)
        made, params = cases.system(c)
        locate, loss = _locate(made), jit(_total(made))
        b = cases.candidates()
    else:
        c, _, params, b, locate, loss = default
    means = loss(params, b)[1]
    videos = _expected(c, params, b)
    for side, found in enumerate(locate(params, b)):
        assert found.dtype == jnp.float32
        for i, k in np.ndindex(3, 3):
            valid = np.asarray(b.video_mask[i, k])
            np.testing.assert_allclose(found[i, k][valid], videos[i][k][side], **CLOSE)
            assert (np.asarray(found[i, k][~valid]) == np.float32(-1e10)).all()
    expected = [_boundary_loss(c, of, span) for of, span in zip(videos, SPANS, strict=True)]
    np.testing.assert_allclose(means["boundary"], np.mean(expected), rtol=5e-4)
    assert ("relevant_content" in means) == c.lc.enabled
    if c.lc.enabled:
        p = eva_cases.float64(params)
        expected = [_content_loss(c, p, of, span) for of, span in zip(videos, SPANS, strict=True)]
        np.testing.assert_allclose(means["relevant_content"], 0.8 * np.mean(expected), rtol=5e-4)


@pytest.fixture(scope="module")
def larger(default):
    """The same system with longer tables of positions, compiled: loss and gradient."""
    made = models.make(default[0], {"target": cases.LARGER})
    return made, jit(jax.value_and_grad(_total(made), has_aux=True))


def test_padding_changes_no_loss_gradient_or_logit(default, larger):
    """Items, videos, clips and words; the tables of positions have rows for them."""
    _, _, params, b, locate, loss = default
    made, step = larger
    long = cases.longer_tables(params)
    clean, dirty = (cases.pad(b, candidates=1, value=value) for value in (0, 7))
    (zero, gradient), (seven, other) = (step(long, padded) for padded in (clean, dirty))
    for padded in (zero, seven):
        for one, two in zip(*map(jax.tree.leaves, (padded, loss(params, b))), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-4)
    for one, two in zip(*map(jax.tree.leaves, (gradient, other)), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)
    for row, name in ((5, "query"), (9, "video")):  # of positions that no real row has
        assert not np.asarray(gradient["encoder"][name]["positions"][row:]).any()
    for one, two in zip(locate(params, b), _locate(made)(long, dirty), strict=True):
        np.testing.assert_allclose(one, two[:3, :3, :9], **CLOSE)


def test_a_video_is_located_alike_beside_others_and_alone(default):
    """So that the search may batch as it likes."""
    _, _, params, b, locate, _ = default
    alone = b._replace(
        **{name: getattr(b, name)[:, 1:2] for name in ("video", "video_mask", "sub")}
    )
    for one, two in zip(locate(params, b), locate(params, alone), strict=True):
        np.testing.assert_allclose(one[:, 1:2], two, **CLOSE)


def test_gradients_of_the_loss(default, larger):
    """At parameters where what is not smooth is far."""
    _, _, params, b, _, _ = default
    params = cases.longer_tables(jax.tree.map(lambda leaf: 0.5 * np.asarray(leaf), params))
    step = functools.partial(larger[1], b=cases.pad(b, candidates=1))

    def vjp(params):
        (loss, _), gradient = step(params)
        return loss, lambda seed: (jax.tree.map(lambda leaf: seed * np.asarray(leaf), gradient),)

    check_vjp(lambda p: step(p)[0][0], vjp, (params,), atol=2e-2, rtol=2e-2, eps=3e-4)


def test_training_has_dropout(default):
    made = models.make(cases.config("prem_localizer", dropout=0.3), cases.SPECS)
    _, _, params, b, _, _ = default
    loss = jit(lambda key: _total(made)(params, b, key)[0])
    one, again, two = (loss(jax.random.key(seed)) for seed in (0, 0, 1))
    assert one == again and one != two


def test_bfloat16_is_near_float32(default):
    _, _, params, b, _, loss = default
    params = jax.tree.map(lambda leaf: 0.5 * leaf, params)
    made = models.make(cases.config("prem_localizer", precision="bfloat16"), cases.SPECS)
    total, _ = jit(_total(made))(params, b)
    assert total.dtype == jnp.float32
    np.testing.assert_allclose(total, loss(params, b)[0], rtol=0.05)
    gradient = jax.eval_shape(jax.grad(_total(made), has_aux=True), params, b)[0]
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(gradient))
    videos = Videos(b.video[:, 0], b.video_mask[:, 0], b.sub[:, 0])
    code = jax.eval_shape(made.encode_videos, params, videos)
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(code))


@pytest.mark.parametrize(
    ("switches", "names"),
    [
        ({"gate": "none"}, {"gate"}),
        ({"lc__enabled": False}, {"class_bias", "class_kernel", "content_0", "content_1"}),
        ({"lc__share_fusion": True}, {"content_1"}),
        ({"shared_norm": False}, set()),
    ],
)
def test_switches_leave_parameters_out(switches, names, default):
    init = models.make(cases.config("prem_localizer", **switches), cases.SPECS).init
    found = set(jax.eval_shape(init, jax.random.key(0), cases.candidates()))
    every = set(default[2])
    assert every - found == names and not found - every


@pytest.mark.parametrize(
    ("dataset", "clips", "words", "sub", "parameters"),
    [("tvr", 100, 30, 768, 16_424_577), ("didemo", 20, 30, 0, 15_800_961)],
)
def test_parameters_of_the_papers_sizes(dataset, clips, words, sub, parameters):
    c = cases.prem_localizer.get_config(dataset)
    spec = DataSpec(4352, 768, clips, words, sub)
    init = models.make(c, {"target": spec}).init
    params = jax.eval_shape(
        init, jax.random.key(0), jax.eval_shape(lambda: cases.blank(spec, 1 + c.negatives))
    )
    width, modalities = 384, 2 if sub else 1
    layer = 12 * width**2 + 13 * width
    fusion = layer + 4 * (width**2 + width) + 2 * width
    gates = modalities * width**2
    merge = modalities * width**2 + width
    heads = 2 * (5 * width * 128 + 128)
    rest = gates + merge + 4 * fusion + heads + width + 1
    assert num_parameters(params) == num_parameters(params["encoder"]) + rest == parameters


def test_the_first_run_reads_the_same_data(tmp_path):
    c = cases.config("prem_localizer", seed=3, target__max_clips=9, data__residency="host")
    c.first.retriever.epochs = 7
    first = models.of(c).first_run(c)
    assert (first.system, first.epochs, first.seed) == ("prem_retriever", 7, 3)
    assert first.target == c.target and first.data.residency == "host"
    assert models.of(c).located(c, tmp_path).first.checkpoint == str(tmp_path)
    c.first.checkpoint = "runs/other"
    assert models.of(c).first_run(c) is None and models.of(c).located(c, tmp_path) == c


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"gate": "tanh"}, "config.gate='tanh': use one of l2, sigmoid, none"),
        ({"head": "conv7"}, "config.head='conv7': use one of conv5_conv1, conv5_single, conv3"),
        ({"lc__reduction": "sum"}, "config.lc.reduction='sum': use one of all, balanced"),
        ({"lc__max_pos": 0}, "config.lc.max_pos=0: use at least 1"),
        ({"negatives": 0}, "config.negatives=0: use at least 1"),
        ({"first__top": 0}, "config.first.top=0: use at least 1"),
        ({"first__retrieve": 0}, "config.first.retrieve=0: use at least 1"),
        ({"edges": (0,)}, r"config.edges=\(0,\): give a tuple of widths in clips"),
        ({"infer__keep": 0}, "config.infer.keep=0: use at least 1"),
        ({"infer__min_l": 4}, "config.infer.min_l=4 and max_l=3 leave no segment"),
        ({"infer__min_l": 9, "infer__max_l": 20}, "of config.target.max_clips=9 clips"),
        ({"pooling": "sum"}, "config.pooling='sum': use one of mean, max, modality"),
    ],
)
def test_wrong_switches_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        models.make(cases.config("prem_localizer", **switches), cases.SPECS)
