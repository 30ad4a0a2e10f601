"""MMN against the public code's numbers, float64 loops, and what must not influence it."""

import eva_cases
import jax
import jax.numpy as jnp
import mmn_cases as cases
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.gradients import check_gradients
from tests.losses import mutual_matching_cases as losses
from vmr_jax.configs import mmn as mmn_config
from vmr_jax.decoding.ranking import rank_moments
from vmr_jax.layers.moment_map import map_cells, pool_clips, span_max, span_mean
from vmr_jax.layers.self_similarity import moment_similarities
from vmr_jax.losses.mutual_matching import scale_iou
from vmr_jax.models.mmn import system as mmn
from vmr_jax.models.mmn.network import MMN, Joint
from vmr_jax.models.statistics import as_variables
from vmr_jax.training.steps import term_means
from vmr_jax.types import STATISTICS

jit = eva_cases.jit
GOLDEN = losses.GOLDEN["outputs"]


def _golden_network():
    """The network at the golden sizes, with the golden weights of the video side."""
    c = cases.config(dim=8, joint_dim=4, map__layers=2)
    weights = losses.golden_input

    def dense(name):
        kernel = weights(f"{name}_w")
        return {"kernel": kernel.reshape(kernel.shape[:2]).T, "bias": weights(f"{name}_b")}

    convolutions, stats = {}, {}
    for n in (1, 2):
        convolutions[f"kernel{n}"] = weights(f"conv{n}_w").transpose(2, 3, 1, 0)
        convolutions[f"bias{n}"] = weights(f"conv{n}_b")
        convolutions[f"scale{n}"] = weights(f"bn{n}_gamma")
        convolutions[f"offset{n}"] = weights(f"bn{n}_beta")
        stats[f"mean{n}"], stats[f"var{n}"] = weights(f"bn{n}_mean"), weights(f"bn{n}_var")
    params = {
        "video_fc": dense("fc"),
        "map": convolutions,
        "cell_contrastive": dense("head_c"),
        "cell_iou": dense("head_iou"),
    }
    return MMN(c, 6, 20), {"params": params, "batch_stats": {"map": stats}}


@pytest.mark.parametrize("form", ["sparse", "dense"])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_golden_maps(form, mode):
    network, variables = _golden_network()
    network.config.map.form = form
    found, new = jit(
        lambda video: network.apply(
            variables, video, jnp.ones(2), mode == "train", method="maps", mutable=["batch_stats"]
        )
    )(losses.golden_input("video"))
    golden, cells = GOLDEN["b_proposal_conv"], losses.CELLS
    for rows, name in ((found.contrastive, "F_c"), (found.iou, "F_iou")):
        expected = np.array(golden[f"{mode}_{name}"])[:, cells.row, cells.column]
        np.testing.assert_allclose(rows, losses.unit(expected), rtol=1e-4, atol=1e-5)
    if mode == "train":
        for n in (1, 2):
            expected = golden[f"train_running_var{n}_biased"]
            np.testing.assert_allclose(new["batch_stats"]["map"][f"var{n}"], expected, rtol=1e-4)


def test_golden_cosines_with_the_own_video():
    cells = losses.CELLS
    for space, of_space in (("c", "s_c"), ("iou", "")):
        maps = np.asarray(losses.golden_input(f"feat_{space}"))[:, :, cells.row, cells.column]
        queries = losses.unit(np.asarray(losses.golden_input(f"q_{space}")))
        rows = losses.unit(maps.swapaxes(1, 2))
        owner = jnp.array([0, 0, 1])
        found = mmn._of_own_video(jnp.asarray(rows), jnp.asarray(queries), owner)
        if of_space:
            expected = np.array(GOLDEN["e_fused"][of_space])
        else:
            expected = np.array(GOLDEN["c_iou_loss"]["s_iou"])
            found = jax.nn.sigmoid(mmn.IOU_SCALE * found)
        expected = expected[:, cells.row, cells.column]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_golden_fusion_and_ranking():
    cells = losses.CELLS
    on_cells = lambda x: np.array(x)[:, cells.row, cells.column]  # noqa: E731
    iou, contrastive = (
        on_cells(GOLDEN["c_iou_loss"]["s_iou"]),
        on_cells(GOLDEN["e_fused"]["s_c"]),
    )
    for power in (0.5, 0.3):
        found = mmn.fuse_scores(iou, contrastive, "mmn_pow", power)
        expected = on_cells(GOLDEN["e_fused"][f"fused_pow_{power}"])
        np.testing.assert_allclose(found, expected, rtol=1e-4)
    score = jnp.asarray(mmn.fuse_scores(iou, contrastive, "mmn_pow", 0.5)[:1])
    duration = jnp.array([16.0])
    settings = ConfigDict({"nms": 0.5, "top_k": 5, "clip_to_duration": True})
    moments = rank_moments(cells.row, cells.column + 1, score, cells.clips, duration, settings)
    found = np.stack([moments.start[0], moments.end[0]], -1)
    expected = GOLDEN["e_fused"]["nms_0.5_sentence0_duration16_first5"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_fusion():
    fuse = lambda c, fusion: float(mmn.fuse_scores(0.8, jnp.array(c), fusion, 0.5))  # noqa: E731
    assert fuse(0.0, "mmn_pow") == pytest.approx(0.5656854, rel=1e-6)
    assert fuse(-1.0, "mmn_pow") == fuse(-1.0001, "mmn_pow") == 0
    assert fuse(-0.5, "product") == pytest.approx(-0.4)
    assert fuse(-0.5, "iou_only") == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("dataset", "changes", "width", "others", "encoder"),
    [
        ("charades_sta", {}, 4096, 55_196_672, 66_362_880),
        ("tacos", {}, 4096, 55_196_672, 66_362_880),
        ("activitynet_captions", {}, 500, 85_855_232, 66_362_880),
        (
            "charades_sta",
            {"text.encoder": "clip", "video.conv": False},
            512,
            52_966_400,
            63_428_096,
        ),
    ],
)
def test_parameters_of_the_papers_sizes(dataset, changes, width, others, encoder):
    c = mmn_config.get_config(dataset)
    c.update_from_flattened_dict(changes)
    network = MMN(c, width, 49408 if c.text.encoder == "clip" else 30522)
    spec = cases.SPEC._replace(video_dim=width, max_clips=c.target.max_clips)
    made = cases.batch((0,), spec=spec)
    shapes = jax.eval_shape(
        lambda key, b: network.init(key, b, train=False), jax.random.key(0), made
    )["params"]
    count = {name: sum(x.size for x in jax.tree.leaves(tree)) for name, tree in shapes.items()}
    assert count.pop("text_encoder") == encoder
    assert sum(count.values()) == others


def _applied(c, params, b, train):
    """Cells and queries, without dropout."""
    network = cases.network(c)

    def run(params, b):
        out, _ = network.apply(as_variables(params), b, train=train, mutable=["batch_stats"])
        return out

    return jit(run)(params, b)


def test_queries_are_the_mean_of_tokens_normalised_and_projected():
    c = cases.config()
    _, params = cases.system(c)
    b = cases.batch()
    network, variables = cases.network(c), as_variables(params)
    encode = lambda m, *x: m.text_encoder(*x)  # noqa: E731
    rows = jit(lambda v, *x: network.apply(v, *x, method=encode))(variables, b.tokens, b.token_mask)
    found = _applied(c, params, b, False)[1]
    p = eva_cases.float64(params)
    for i, mask in enumerate(np.asarray(b.token_mask)):
        mean = np.asarray(rows[i], np.float64)[mask].mean(0)
        norm = p["text_norm"]
        mean = (mean - mean.mean()) / np.sqrt(mean.var() + 1e-5) * norm["scale"] + norm["bias"]
        for vectors, name in ((found.iou, "query_iou"), (found.contrastive, "query_contrastive")):
            expected = losses.unit(mean @ p[name]["kernel"] + p[name]["bias"])
            np.testing.assert_allclose(vectors[i], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("negatives", ["exclude", "legacy_one"])
@pytest.mark.parametrize("group", [0, 2])
def test_the_loss_is_the_loops_weighted_by_the_epoch(negatives, group):
    c = cases.config(
        text__encoder="clip",  # has no dropout
        neg_mask=negatives,
        contrastive__group_size=group,
        contrastive__positives=2,
        iou__min=0.3,
        iou__max=0.7,
    )
    made, params = cases.system(c)
    b = cases.batch()
    cells, queries = _applied(c, params, b, True)
    run = jit(lambda progress: made.loss(params, b, jax.random.key(0), progress))
    matches = jit(lambda *x: mmn.matches(c, *x))(b, cells, queries)
    own = np.einsum("tpd,td->tp", np.asarray(cells.iou, np.float64)[b.owner], queries.iou)
    label = np.asarray(scale_iou(matches.iou, 0.3, 0.7), np.float64)
    score = 1 / (1 + np.exp(-10 * own))
    entropy = -(label * np.log(score) + (1 - label) * np.log(1 - score))
    settings = c.contrastive
    expected = {
        "moment_to_sentence": losses.slow_moment_to_sentence(
            matches, settings.margin, settings.tau_v, group
        ),
        "sentence_to_moment": losses.slow_sentence_to_moment(
            matches, settings.margin, settings.tau_s, settings.epsilon, negatives, group
        ),
    }
    last = settings.full_epochs
    for epoch, weight in ((0, 1.0), (last - 1, 1.0), (last, 0.01)):
        progress = cases.FIRST_EPOCH._replace(epoch=jnp.int32(epoch))
        means = term_means(run(progress).terms)
        np.testing.assert_allclose(means["iou"], entropy.mean(), rtol=1e-4)
        for name, value in expected.items():
            value *= weight * settings.weight
            np.testing.assert_allclose(means[name], value, rtol=2e-4, err_msg=name)
    watched = term_means(run(cases.FIRST_EPOCH).watched)
    at_best = matches.score[:, matches.owner, matches.best[:, 0]]
    np.testing.assert_allclose(watched["similarity_positive"], np.diagonal(at_best).mean(), 1e-5)
    other = np.asarray(b.owner)[:, None] != b.owner
    mean = np.mean([at_best[other[:, i], i].mean() for i in range(len(other))])
    np.testing.assert_allclose(watched["similarity_negative"], mean, 1e-5)


def _loss_and_gradient(made):
    @jit
    def run(params, b):
        trained = {name: leaf for name, leaf in params.items() if name != STATISTICS}

        def total(trained):
            found = made.loss(
                trained | {STATISTICS: params[STATISTICS]}, b, jax.random.key(0), cases.FIRST_EPOCH
            )
            return sum(term_means(found.terms).values()), (
                term_means(found.watched),
                found.statistics,
            )

        return jax.value_and_grad(total, has_aux=True)(trained)

    return run


def test_padding_changes_no_loss_gradient_or_statistic():
    c = cases.config(text__encoder="clip", map__layers=2)
    made, params = cases.system(c)
    run = _loss_and_gradient(made)
    b = cases.batch()
    dirty = cases.pad(b, videos=2, queries=3, words=4)
    dirty = dirty._replace(video=dirty.video.at[4:].set(7.0))
    small, large = run(params, b), run(params, dirty)
    for one, two in zip(jax.tree.leaves(small), jax.tree.leaves(large), strict=True):
        np.testing.assert_allclose(one, two, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("encoder", ["distilbert", "clip"])
def test_padding_changes_no_prediction(encoder):
    c = cases.config(text__encoder=encoder)
    made, params = cases.system(c)
    b = cases.batch()
    small = jit(made.predict)(params, b)
    large = jit(made.predict)(params, cases.pad(b, videos=1, queries=2, words=3))
    for one, two in zip(jax.tree.leaves(small), jax.tree.leaves(large), strict=True):
        np.testing.assert_allclose(one, two[: len(b.owner)], rtol=1e-4, atol=1e-6)


def test_gradients_of_the_loss():
    c = cases.config(text__encoder="clip")
    made, params = cases.system(c)
    b = cases.batch()
    statistics = {STATISTICS: params[STATISTICS]}
    trained = as_variables(params)["params"]

    def loss(trained):
        found = made.loss(trained | statistics, b, jax.random.key(0), cases.FIRST_EPOCH)
        return sum(term_means(found.terms).values())

    check_gradients(loss, (trained,), atol=2e-2, rtol=2e-2, eps=1e-3)


@pytest.mark.slow  # no run computes a loss without jit
def test_with_and_without_jit():
    c = cases.config(text__encoder="clip")
    made, params = cases.system(c)
    b = cases.batch((0, 1))
    loss = lambda p, b: made.loss(p, b, jax.random.key(0), cases.FIRST_EPOCH)  # noqa: E731
    for function in (loss, made.predict):
        one, two = function(params, b), jit(function)(params, b)
        for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("fusion", ["mmn_pow", "product", "iou_only"])
def test_predictions_are_the_best_cells_after_suppression(fusion):
    c = cases.config(score__fusion=fusion, eval__nms=0.45)  # an IoU that no two cells have
    made, params = cases.system(c)
    b = cases.batch()
    moments = jit(made.predict)(params, b)
    of_cells, of_queries = _applied(c, params, b, False)
    cells = map_cells(c.map)
    for t, video in enumerate(np.asarray(b.owner)):
        cosine = [
            np.asarray(x[video], np.float64) @ np.asarray(q[t], np.float64)
            for x, q in zip(of_cells, of_queries, strict=True)
        ]
        iou = 1 / (1 + np.exp(-10 * cosine[0]))
        score = {
            "mmn_pow": iou * np.sqrt(0.5 * cosine[1] + 0.5),
            "product": iou * cosine[1],
            "iou_only": iou,
        }[fusion]
        clip = float(b.duration[video]) / 8
        kept = []
        for p in np.argsort(-score):
            span = (cells.row[p] * clip, (cells.column[p] + 1) * clip)
            if len(kept) < 4 and all(_iou(span, other) <= c.eval.nms for _, other in kept):
                kept.append((score[p], span))
        np.testing.assert_allclose(moments.score[t], [s for s, _ in kept], rtol=1e-4, atol=1e-6)
        spans = np.stack([moments.start[t], moments.end[t]], -1)
        np.testing.assert_allclose(spans, [span for _, span in kept], rtol=1e-5)


def _iou(one, other):
    inter = min(one[1], other[1]) - max(one[0], other[0])
    return max(inter, 0) / (max(one[1], other[1]) - min(one[0], other[0]))


@pytest.mark.parametrize(("cells_are", "span"), [("pooled", span_max), ("mean", span_mean)])
def test_cells_can_meet_sentences_as_they_are_before_the_convolutions(cells_are, span):
    c = cases.config(contrastive__cells=cells_are)
    made, params = cases.system(c)
    b = cases.batch()
    network, variables = cases.network(c), as_variables(params)
    read = lambda network: jit(lambda v, b: network.apply(v, b, train=False))(variables, b)  # noqa: E731
    cells, _ = read(network)
    linear = lambda name, x: x @ params[name]["kernel"] + params[name]["bias"]  # noqa: E731

    @jit
    def pooled(video):
        clips = pool_clips(jax.nn.relu(linear("video_fc", video)), c.map.clips)
        return linear("cell_contrastive", span(clips, map_cells(c.map)))

    expected = losses.unit(pooled(b.video))
    np.testing.assert_allclose(cells.contrastive, expected, rtol=1e-4, atol=1e-5)
    convolved, _ = read(cases.network(cases.config()))
    np.testing.assert_array_equal(cells.iou, convolved.iou)


def test_a_given_match_adds_the_contrastive_cosine_and_is_not_trained():
    c = cases.config(iou__given_match=True)
    rng = np.random.default_rng(0)
    unit = lambda *shape: losses.unit(np.float32(rng.normal(size=shape)))  # noqa: E731
    cells, queries = Joint(unit(2, 5, 4), unit(2, 5, 4)), Joint(unit(3, 4), unit(3, 4))
    owner = np.array([0, 1, 1])

    @jit
    def run(cells):
        logits = lambda cells: mmn.iou_logits(c, cells, queries, owner)  # noqa: E731
        return logits(cells), jax.grad(lambda cells: jnp.sum(logits(cells) ** 2))(cells)

    found, of_cells = run(cells)
    for t, v in enumerate(owner):
        cosine = cells.iou[v] @ queries.iou[t] + cells.contrastive[v] @ queries.contrastive[t]
        np.testing.assert_allclose(found[t], 10 * cosine, rtol=1e-4, atol=1e-5)
    assert not of_cells.contrastive.any() and of_cells.iou.any()


def test_edges_are_added_to_the_rows_of_the_map_alone():
    plain, c = (
        cases.config(contrastive__cells="pooled"),
        cases.config(contrastive__cells="pooled", map__edges=2),
    )
    b = cases.batch()
    params = cases.system(c)[1]
    network = cases.network(c)
    with_edges, without = (
        jit(lambda v, b, made=made: made.apply(v, b, train=False)[0])(as_variables(params), b)
        for made in (network, cases.network(plain))
    )
    np.testing.assert_array_equal(with_edges.contrastive, without.contrastive)
    assert np.abs(with_edges.iou - without.iou).max() > 1e-3
    cells = map_cells(c.map)
    first, end = cells.row * 2, (cells.column + 1) * 2
    weights = params["edges_0"], params["edges_1"]
    x = np.asarray(moment_similarities(b.video, first, end, 2))
    x = np.maximum(x @ weights[0]["kernel"] + weights[0]["bias"], 0)
    expected = x @ weights[1]["kernel"] + weights[1]["bias"]
    rows = network.apply(as_variables(params), b.video, cells, method="edge_rows")
    np.testing.assert_allclose(rows, expected, rtol=1e-4, atol=1e-5)
