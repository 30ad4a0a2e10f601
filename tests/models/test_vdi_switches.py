"""VDI's switches, its training step, and what each of them stops."""

import functools
from types import SimpleNamespace

import eva_cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import vdi_cases as cases
from rich.console import Console

from tests.conftest import small_vdi
from vmr_jax import models
from vmr_jax.evaluation import evaluate
from vmr_jax.models.vdi import system as vdi
from vmr_jax.training import loop as train
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import TrainState, split_statistics
from vmr_jax.training.steps import Pace, term_means, train_step
from vmr_jax.types import STATISTICS

jit = eva_cases.jit


def _moved(before, after):
    """The largest change of any parameter under each name."""
    return {
        name: max(
            float(np.abs(np.asarray(a) - b).max())
            for a, b in zip(jax.tree.leaves(tree), jax.tree.leaves(after[name]), strict=True)
        )
        for name, tree in split_statistics(before)[0].items()
    }


def _train(c, optimizer, pace=None, **of_batch):
    """The parameters before and after a step, and its metrics."""
    b = cases.batch(c, **of_batch)
    made, params = cases.system(c, b)
    state = TrainState(jnp.int32(0), params, optimizer.init(split_statistics(params)[0]))
    step = functools.partial(
        train_step, system=made, optimizer=optimizer, pace=pace or Pace(2, c.epochs)
    )
    after, metrics = jit(step)(state, b, jnp.uint32(0))
    assert all(np.isfinite(value) for value in metrics.values())
    return params, after.params, metrics


@pytest.mark.parametrize(("probe", "asked"), [("full", 1), ("static", 2), ("none", None)])
def test_what_asks_for_the_context(probe, asked):
    features = {"full": 1, "static": 2, "dynamic": 3}
    shown = SimpleNamespace(video=4, owner=5)
    read = vdi._context_inputs(cases.config(vc__probe=probe), features, shown)
    assert read == (3, asked, 4, 5)


@pytest.mark.parametrize(
    "switches",
    [
        {
            "vdi__vc": False,
            "text__query_mask_mode": "attention",
            "sd__l2norm": True,
            "patch_proj": "raw",
            "vdi__schedule": "alternate",
            "backbone": "vgg",
            "text__encoder": "distilbert",
        },
        {"vdi__sd": False, "vc__stop_grad": "target", "text__extra_ln": True},
        {
            "precision": "bfloat16",
            "vc__probe": "none",
            "sd__seq": "lstm",
            "text__query_mask_mode": "learned",
            "backbone": "c3d",
        },
    ],
    ids=str,
)
def test_every_switch_trains_a_step(switches):
    c = cases.config(**switches)
    width = 11 if c.patch_proj == "raw" else 8
    before, after, metrics = _train(c, optax.sgd(0.1), patch_width=width)
    terms = {"visual_context": c.vdi.vc, "spatial_dynamic": c.vdi.sd}
    assert {name for name in terms if name in metrics} == {n for n, on in terms.items() if on}
    assert ("video_fc" in before) == (c.backbone != "clip")
    assert ("hidden_word" in before) == (c.text.query_mask_mode == "learned")
    if c.vdi.sd:
        assert before["spatial_dynamics"]["patch"].shape[0] == width
    assert all(change > 0 for change in _moved(before, after).values())


def test_patches_of_another_width_are_raw():
    raw = cases.config(patch_proj="raw")
    _, params = cases.system(raw, cases.batch(raw, patch_width=11))
    assert params["spatial_dynamics"]["patch"].shape == (11, 64)
    narrow = cases.config()
    with pytest.raises(ValueError, match="patches have width 11, frames 8: config.patch_proj="):
        cases.system(narrow, cases.batch(narrow, patch_width=11))


@functools.cache
def _gradients(*terms, **switches):
    """The gradient of some loss terms, or of all: term -> parameter name -> tree."""
    c = cases.config(**switches)
    b = cases.batch(c)
    made, params = cases.system(c, b)
    statistics = {STATISTICS: params[STATISTICS]}
    trained = {name: leaf for name, leaf in params.items() if name != STATISTICS}

    def losses(trained):
        found = made.loss(trained | statistics, b, jax.random.key(0), cases.FIRST_EPOCH)
        means = term_means(found.terms)
        return {name: means[name] for name in terms or means}

    return jit(jax.jacrev(losses))(trained)


def _any(tree):
    return any(np.asarray(leaf).any() for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("stop", ["none", "probe", "target"])
def test_stop_grad_keeps_the_context_fixed(stop):
    term = "visual_context"
    found = (_gradients() if stop == "none" else _gradients(term, vc__stop_grad=stop))[term]
    assert _any(found["text_encoder"]) and _any(found["visual_context"]["query"])
    assert _any(found["visual_context"]["decoder"]) == (stop != "target")
    assert not any(_any(found[name]) for name in ("map", "query_iou", "spatial_dynamics"))


@pytest.mark.parametrize(("stop", "learns"), [("none", 1.0), ("probe", 0.0)])
def test_stop_grad_of_the_probe_keeps_the_text_encoder_from_it(stop, learns):
    config = cases.config(vc__probe="static", vc__stop_grad=stop)
    shown = SimpleNamespace(video=4, owner=5)

    def asked(text):
        dynamic, probe, *_ = vdi._context_inputs(config, {"dynamic": text, "static": text}, shown)
        return jnp.stack((dynamic, probe))

    np.testing.assert_array_equal(jax.jacobian(asked)(jnp.float32(2.0)), [1.0, learns])


@pytest.mark.parametrize("trained", [True, False])
def test_train_visual_trains_the_side_of_the_videos(trained):
    term = "spatial_dynamic"
    found = (_gradients() if trained else _gradients(term, sd__train_visual=False))[term]
    dynamics = found["spatial_dynamics"]
    assert _any(found["text_encoder"]) and _any(dynamics["query"])
    for name in ("frame", "patch", "heatmap", "encoder"):
        assert _any(dynamics[name]) == trained, name
    assert not any(_any(found[name]) for name in ("map", "query_iou", "visual_context"))


def test_the_alternating_schedule_keeps_mmns_losses_off_the_text_encoder():
    joint, found = _gradients(), _gradients(vdi__schedule="alternate")
    for term in joint:
        of_mmn = term not in ("visual_context", "spatial_dynamic")
        assert _any(joint[term]["text_encoder"])
        assert _any(found[term]["text_encoder"]) != of_mmn, term
        for name in set(joint[term]) - {"text_encoder"}:
            one, two = (jax.tree.leaves(of[term][name]) for of in (joint, found))
            for left, right in zip(one, two, strict=True):
                np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


def test_words_hidden_by_attention_or_by_an_embedding_are_not_read():
    terms = {}
    for mode in ("attention", "learned"):
        c = cases.config(text__query_mask_mode=mode)
        b = cases.batch(c)
        made, params = cases.system(c, b)
        loss = jit(lambda p, b, m=made: m.loss(p, b, jax.random.key(0), cases.FIRST_EPOCH).terms)
        terms[mode] = loss(params, b)["visual_context"][0]
        if mode == "attention":
            real = b.token_mask & ~b.dynamic_mask
            other = b._replace(dynamic_tokens=jnp.where(real, 7, b.dynamic_tokens))
            assert real.any()
        else:
            other, used = b, params["text_encoder"]["tokens"]
            assert used.shape[0] == vdi.vocabulary_size(c.text) < int(b.dynamic_tokens.max()) + 1
            moved = loss(params | {"hidden_word": -params["hidden_word"]}, b)
            assert not np.allclose(moved["visual_context"][0], terms[mode])
        np.testing.assert_allclose(loss(params, other)["visual_context"][0], terms[mode], rtol=1e-5)
    assert not np.allclose(terms["attention"], terms["learned"])


@pytest.mark.slow  # test_text_runs evaluates parts of the queries, test_loop with other readouts
def test_a_run_is_evaluated_on_parts_of_the_queries_and_with_another_fusion(toy_data, tmp_path):
    c = small_vdi(toy_data)
    c.epochs, console = 1, Console(quiet=True)
    report = train.train(c, tmp_path, "", console)
    assert report["queries"] == 10
    c.score.fusion = "iou_only"
    reports = {"full": report}
    for part in ("static", "dynamic"):
        c.eval.query = part
        reports[part] = evaluate.evaluate_checkpoint(c, str(tmp_path), "", console)
    folders = {path.name for path in (tmp_path / "eval").iterdir()}
    assert folders == {f"toy_target_test{end}" for end in ("", "_static", "_dynamic")}
    assert {part: of.get("query") for part, of in reports.items()} == {
        "full": None,
        "static": "static",
        "dynamic": "dynamic",
    }


def test_dropout_of_the_blocks_is_active_in_training():
    keys = jax.random.split(jax.random.key(0))
    for rate in (0.0, 0.1):
        c = cases.config(vdi__dropout=rate)
        b = cases.batch(c)
        made, params = cases.system(c, b)
        loss = jit(lambda key, m=made, p=params, b=b: m.loss(p, b, key, cases.FIRST_EPOCH).terms)
        one, two = (loss(key) for key in keys)
        for name in ("visual_context", "spatial_dynamic"):
            assert (one[name][0] != two[name][0]) == (rate > 0)
        assert one["iou"][0] == two["iou"][0]


def test_the_text_encoder_learns_at_a_tenth_of_the_rate_from_the_first_step():
    further = {"vc__probe": "full", "vc__reduction": "sum", "sd__same_video": "keep"}
    further |= {"text__remat": True, "vdi__dropout": 0.1, "neg_mask": "legacy_one"}
    c = cases.config(optimizer__slow__factor=0.1, contrastive__group_size=2, **further)
    pace = Pace(1, 4)
    before, after, _ = _train(c, make_optimizer(c.optimizer, pace), pace)
    change, rate = _moved(before, after), c.optimizer.learning_rate
    assert change["text_encoder"] == pytest.approx(0.1 * rate, rel=0.05)
    for name in set(change) - {"text_encoder"}:
        assert change[name] == pytest.approx(rate, rel=0.1), name


def test_batches_without_what_the_losses_read_are_refused():
    c = cases.config()
    b = cases.batch(c)
    bare = cases.without_parts(b)
    with pytest.raises(ValueError, match="set config.text.query_mask_mode=drop, or both to False"):
        cases.system(c, bare)
    with pytest.raises(ValueError, match="reads patches of frames: name them as config.target.pat"):
        cases.system(c, b._replace(patches=None, patch_cls=None))
    cases.system(cases.config(vdi__sd=False), b._replace(patches=None, patch_cls=None))
    cases.system(cases.config(**cases.BASELINE), bare)


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"backbone": "i3d"}, "config.backbone='i3d': use one of clip, vgg, c3d"),
        ({"patch_proj": "none"}, "config.patch_proj='none': use one of clip, raw"),
        ({"vdi__schedule": "both"}, "config.vdi.schedule='both': use one of joint, alternate"),
        ({"vc__probe": "dynamic"}, "config.vc.probe='dynamic': use one of static, full, none"),
        ({"vc__reduction": "max"}, "config.vc.reduction='max': use one of mean, sum"),
        ({"vc__stop_grad": "text"}, "config.vc.stop_grad='text': use one of none, probe, target"),
        ({"sd__seq": "gru"}, "config.sd.seq='gru': use one of transformer, lstm"),
        ({"sd__same_video": "drop"}, "config.sd.same_video='drop': use one of exclude, keep"),
        ({"score__fusion": "sum"}, "config.score.fusion='sum': use one of mmn_pow, product"),
        (
            {"text__encoder": "distilbert", "text__query_mask_mode": "learned"},
            "encoder='distilbert': only clip's embeddings can be replaced",
        ),
    ],
)
def test_wrong_switches_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        models.make(cases.config(**switches), cases.SPECS)


def test_frames_that_the_heads_do_not_divide_are_refused():
    specs = {"target": cases.SPEC._replace(video_dim=500)}
    with pytest.raises(ValueError, match="attends frames with 8 heads, which do not divide their"):
        models.make(cases.config(vc__probe="none"), specs)
    models.make(cases.config(vc__probe="full"), specs)
