"""VDI against float64 references, MMN, and what must not influence it."""

import functools

import eva_cases
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import vdi_cases as cases
from ml_collections import ConfigDict

from tests.gradients import check_gradients
from vmr_jax import models
from vmr_jax.configs import vdi as vdi_config
from vmr_jax.data.text.tokens import vocabulary_size
from vmr_jax.layers.sequences import sinusoids
from vmr_jax.models.mmn.network import MMN
from vmr_jax.models.statistics import as_variables
from vmr_jax.models.vdi.network import SpatialDynamics, VisualContext
from vmr_jax.training.steps import term_means
from vmr_jax.types import STATISTICS

jit = eva_cases.jit


def _as_mmn(c):
    """The config of the MMN that VDI adds to."""
    return ConfigDict(c.to_dict() | {"system": "mmn", "video": {"conv": c.backbone != "clip"}})


@functools.cache
def _loss(made):
    return jit(lambda params, b: made.loss(params, b, jax.random.key(0), cases.FIRST_EPOCH))


@functools.cache
def _total(made):
    """Value and gradient of the whole loss, and the new statistics."""

    @jit
    def run(params, b):
        trained = {name: leaf for name, leaf in params.items() if name != STATISTICS}

        def total(trained):
            params_now = trained | {STATISTICS: params[STATISTICS]}
            found = made.loss(params_now, b, jax.random.key(0), cases.FIRST_EPOCH)
            return sum(term_means(found.terms).values()), found.statistics

        return jax.value_and_grad(total, has_aux=True)(trained)

    return run


def _encode(c, params, tokens, mask):
    """Features of queries, encoded alone."""
    network = MMN(_as_mmn(c), cases.SPEC.video_dim, vocabulary_size(c.text))
    run = jit(lambda *part: network.apply(as_variables(params), *part, method="sentences"))
    return run(tokens, mask)


def test_the_injections_are_the_losses_of_each_pass_alone():
    c, b, made, params = cases.plain()
    means = term_means(_loss(made)(params, b).terms)
    static = _encode(c, params, b.static_tokens, b.static_mask)
    dynamic = _encode(c, params, b.dynamic_tokens, b.dynamic_mask)
    query, context = jit(VisualContext(0.0).apply)(
        {"params": params["visual_context"]}, dynamic, static, b.video, b.owner
    )
    distance = np.square(np.asarray(query, np.float64) - context).mean(-1)
    both = np.asarray(b.static_ok & b.dynamic_ok)
    assert both.sum() == 4
    np.testing.assert_allclose(means["visual_context"], 0.5 * distance[both].mean(), rtol=1e-4)

    found = jit(SpatialDynamics("transformer", False, 0.0).apply)(
        {"params": params["spatial_dynamics"]}, dynamic, b.patches, b.patch_cls
    )
    unit = lambda x: np.asarray(x, np.float64) / np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    videos, queries = unit(found.video)[np.asarray(b.owner)], unit(found.query)
    gap = np.square(videos @ videos.T - queries @ queries.T)
    pairs = [
        gap[i, j]
        for i in range(6)
        for j in range(6)
        if b.dynamic_ok[i] and b.dynamic_ok[j] and (i == j or b.owner[i] != b.owner[j])
    ]
    np.testing.assert_allclose(means["spatial_dynamic"], 0.01 * np.mean(pairs), rtol=1e-4)


def test_without_injections_the_loss_is_mmns():
    c = cases.config(**cases.BASELINE)
    b = cases.batch(c)
    made, params = cases.system(c, b)
    assert not set(params) & {*cases.INJECTED, "hidden_word"}
    base = models.make(_as_mmn(c), cases.SPECS)
    bare = cases.without_parts(b)
    ours, theirs = _loss(made)(params, b), _loss(base)(params, bare)
    assert set(ours.terms) == set(theirs.terms)
    for one, two in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5)
    _, _, with_all, params = cases.plain()
    ours, theirs = _loss(with_all)(params, b).terms, _loss(base)(params, bare).terms
    for name, term in theirs.items():
        np.testing.assert_allclose(ours[name], term, rtol=1e-5, err_msg=name)
    assert set(ours) - set(theirs) == {"visual_context", "spatial_dynamic"}


def test_prediction_is_mmns_and_not_one_operation_more():
    c, b, made, params = cases.plain()
    bare = cases.without_parts(b)
    own = {name: leaf for name, leaf in params.items() if name not in cases.INJECTED}
    base = models.make(_as_mmn(c), cases.SPECS)
    programs = [str(jax.make_jaxpr(predict)(own, bare)) for predict in (made.predict, base.predict)]
    assert programs[0] == programs[1]
    cost = [
        jax.jit(system.predict).lower(p, bare).cost_analysis()["flops"]
        for system, p in ((made, params), (base, own))
    ]
    assert cost[0] == cost[1] > 0
    for one, two in zip(jit(made.predict)(params, b), jit(base.predict)(own, bare), strict=True):
        np.testing.assert_array_equal(one, two)


def test_heatmaps_and_their_rows_are_equations_3_and_4():
    rng = np.random.default_rng(0)
    draw = lambda *shape: rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    patches, frames, dynamic = draw(2, 3, 4, 6), draw(2, 3, 5), draw(3, 8)
    network = SpatialDynamics("transformer", False, 0.0)
    shapes = jax.eval_shape(network.init, jax.random.key(0), dynamic, patches, frames)["params"]
    params = jax.tree.map(lambda leaf: draw(*leaf.shape), shapes)
    found = jit(network.apply)({"params": params}, dynamic, patches, frames)
    p = eva_cases.float64(params)
    linear = lambda name, rows: rows @ p[name]["kernel"] + p[name]["bias"]  # noqa: E731
    heat = np.einsum("bld,blgd->blg", linear("frame", frames), patches @ p["patch"]) / np.sqrt(8)
    np.testing.assert_allclose(found.heatmap, heat, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.frames, linear("heatmap", heat), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.query, linear("query", dynamic), rtol=1e-4, atol=1e-5)

    zero = jit(network.apply)({"params": params}, dynamic, 0 * patches, frames)
    assert not np.asarray(zero.heatmap).any()
    np.testing.assert_array_equal(zero.frames, np.broadcast_to(p["heatmap"]["bias"], (2, 3, 8)))

    swapped = jit(network.apply)({"params": params}, dynamic, patches[:, ::-1], frames[:, ::-1])
    assert not np.allclose(swapped.video, found.video)  # the order of frames matters
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)  # noqa: E731
    normed = jit(SpatialDynamics("transformer", True, 0.0).apply)
    one = normed({"params": params}, dynamic, patches, frames)
    two = jit(network.apply)({"params": params}, dynamic, unit(patches), unit(frames))
    np.testing.assert_allclose(one.heatmap, two.heatmap, rtol=1e-4, atol=1e-5)


def test_the_context_without_a_probe_is_the_mean_of_self_attended_frames():
    rng = np.random.default_rng(0)
    draw = lambda *shape: 0.5 * rng.standard_normal(shape).astype(np.float32)  # noqa: E731
    dynamic, frames, owner = draw(3, 6), draw(2, 4, 8), np.array([1, 0, 1])
    network = VisualContext(0.0)
    shapes = jax.eval_shape(network.init, jax.random.key(0), dynamic, None, frames, owner)["params"]
    params = jax.tree.map(lambda leaf: draw(*leaf.shape), shapes)
    query, context = jit(lambda f: network.apply({"params": params}, dynamic, None, f, owner))(
        frames
    )
    p = eva_cases.float64(params)["encoder"]
    linear = lambda name, rows: rows @ p[name]["kernel"] + p[name]["bias"]  # noqa: E731

    def norm(name, rows):
        rows = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
        return rows * p[name]["scale"] + p[name]["bias"]

    expected = []
    for rows in frames.astype(np.float64) + sinusoids(4, 8):
        q, k, v = np.split(linear("qkv", rows), 3, axis=-1)
        weight = np.exp(np.einsum("ih,jh->hij", q, k))  # 8 heads of width 1
        mixed = np.einsum("hij,jh->ih", weight / weight.sum(-1, keepdims=True), v)
        rows = norm("norm1", rows + linear("out", mixed))
        rows = norm("norm2", rows + linear("fc2", np.maximum(linear("fc1", rows), 0)))
        expected.append(rows.mean(0))
    np.testing.assert_allclose(context, np.array(expected)[owner], rtol=1e-3, atol=1e-4)
    assert query.shape == context.shape == (3, 8)


def test_parameters_of_the_papers_sizes(monkeypatch):
    monkeypatch.setattr("vmr_jax.models.vdi.system.vocabulary_size", lambda text: 49408)
    c = vdi_config.get_config("charades_sta")
    spec = cases.SPEC._replace(video_dim=512, max_clips=32, max_words=8)
    made = models.make(c, {"target": spec})
    small = cases.config()
    b = cases.batch(small, spec=spec, patch_width=512)
    b = b._replace(patches=jnp.zeros((4, 16, 49, 512)), patch_cls=jnp.zeros((4, 16, 512)))
    shapes = jax.eval_shape(made.init, jax.random.key(0), b)
    count = {name: sum(x.size for x in jax.tree.leaves(tree)) for name, tree in shapes.items()}
    del count[STATISTICS]
    assert count.pop("text_encoder") == 63_428_096
    context, dynamics = (count.pop(name) for name in cases.INJECTED)
    assert sum(count.values()) == 52_966_400

    def of(tree):
        leaves = (item for item in tree.items() if isinstance(item[1], dict))
        return {name: leaf["kernel"].shape for name, leaf in leaves if "kernel" in leaf}

    square = (512, 512)
    assert of(shapes["visual_context"]) == {"query": square}
    assert of(shapes["visual_context"]["decoder"]) == {
        **dict.fromkeys(("self_value", "self_out", "query", "key", "value", "out"), square),
        "fc1": (512, 2048),
        "fc2": (2048, 512),
    }
    assert of(shapes["spatial_dynamics"]) == {
        "frame": square,
        "heatmap": (49, 512),
        "query": square,
    }
    assert shapes["spatial_dynamics"]["patch"].shape == square
    assert of(shapes["spatial_dynamics"]["encoder"]) == {
        "qkv": (512, 1536),
        "out": square,
        "fc1": (512, 2048),
        "fc2": (2048, 512),
    }
    layer = 4 * 512 * 513 + 2 * 512 * 2048 + 2048 + 512  # attention and feed-forward part
    assert context == layer + 2 * 512 * 513 + 3 * 1024 + 512 * 513
    assert dynamics == layer + 2 * 1024 + 2 * 512 * 513 + 512 * 512 + 50 * 512


def test_padding_changes_no_loss_gradient_statistic_or_prediction():
    c, b, made, params = cases.plain()
    dirty = cases.pad(b)
    dirty = dirty._replace(
        video=dirty.video.at[4:].set(7.0),
        patches=dirty.patches.at[4:].set(5.0),
        patch_cls=dirty.patch_cls.at[4:].set(-5.0),
    )
    run = _total(made)
    small, large = run(params, b), run(params, dirty)
    for one, two in zip(jax.tree.leaves(small), jax.tree.leaves(large), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-4, atol=1e-5)
    predict = jit(made.predict)
    small, large = predict(params, b), predict(params, dirty)
    for one, two in zip(jax.tree.leaves(small), jax.tree.leaves(large), strict=True):
        np.testing.assert_allclose(one, two[: len(b.owner)], rtol=1e-4, atol=1e-6)


def test_parts_that_are_not_ok_change_nothing():
    c, b, made, params = cases.plain()
    other = b._replace(
        static_tokens=b.static_tokens.at[1, 1].set(5),
        dynamic_tokens=b.dynamic_tokens.at[3, 1].set(5),
    )
    run = _total(made)
    for one, two in zip(
        jax.tree.leaves(run(params, b)), jax.tree.leaves(run(params, other)), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-7)
    read = b._replace(dynamic_tokens=b.dynamic_tokens.at[2, 1].set(5))
    assert not np.allclose(run(params, b)[0][0], run(params, read)[0][0])
    nothing = b._replace(dynamic_ok=jnp.zeros(6, bool))
    terms = term_means(_loss(made)(params, nothing).terms)
    assert terms["visual_context"] == terms["spatial_dynamic"] == 0


@pytest.mark.parametrize(
    "switches",
    [{}, pytest.param({"sd__seq": "lstm", "vc__probe": "none"}, marks=pytest.mark.slow)],
    ids=str,
)
def test_gradients_of_the_injections(switches):
    c = cases.config(**switches)
    b = cases.batch(c)
    made, params = cases.system(c, b)

    def loss(injected):
        found = made.loss(params | injected, b, jax.random.key(0), cases.FIRST_EPOCH)
        means = term_means(found.terms)
        return means["visual_context"] + 100 * means["spatial_dynamic"]

    injected = {name: params[name] for name in cases.INJECTED}
    check_gradients(loss, (injected,), atol=2e-2, rtol=2e-2, eps=1e-3)
