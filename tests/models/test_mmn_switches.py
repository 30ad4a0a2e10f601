"""MMN's switches, its training step, and the start from a weight file."""

import functools

import eva_cases
import jax
import jax.numpy as jnp
import mmn_cases as cases
import numpy as np
import optax
import pytest
from rich.console import Console

from tests.conftest import small_mmn
from vmr_jax import models
from vmr_jax.training import loop as train
from vmr_jax.training.checkpoint import Checkpoints
from vmr_jax.training.host_program import run_on_host
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import TrainState, split_statistics
from vmr_jax.training.steps import Pace, train_step
from vmr_jax.types import STATISTICS

jit = eva_cases.jit


def _train(c, optimizer, steps=1, pace=None):
    """The states of a run from random parameters, and the last step's metrics."""
    made, params = cases.system(c)
    pace = pace or Pace(2, c.epochs)
    state = TrainState(jnp.int32(0), params, optimizer.init(split_statistics(params)[0]))
    step = jit(functools.partial(train_step, system=made, optimizer=optimizer, pace=pace))
    states, metrics = [state], {}
    for _ in range(steps):
        state, metrics = step(states[-1], cases.batch(), jnp.uint32(0))
        states.append(state)
    return made, states, metrics


@pytest.mark.parametrize(
    "switches",
    [
        {"text__encoder": "clip", "video__conv": False, "contrastive__group_size": 2},
        {
            "text__encoder": "clip",
            "text__extra_ln": True,
            "map__form": "dense",
            "neg_mask": "legacy_one",
            "contrastive__positives": 3,
            "score__fusion": "product",
        },
        {
            "text__remat": True,
            "precision": "bfloat16",
            "contrastive__epsilon": 0.0,
            "score__fusion": "iou_only",
        },
    ],
    ids=str,
)
def test_every_switch_trains_a_step_and_predicts(switches):
    made, states, metrics = _train(cases.config(**switches), optax.sgd(0.1))
    assert set(metrics) >= {"loss", "iou", "moment_to_sentence", "sentence_to_moment"}
    assert all(np.isfinite(value) for value in metrics.values())
    before, after = (state.params for state in states)
    for name in split_statistics(before)[0]:
        moved = jax.tree.map(lambda a, b: np.any(np.asarray(a) != b), before[name], after[name])
        assert any(jax.tree.leaves(moved)), name
    for name, old in before[STATISTICS]["map"].items():
        assert not np.allclose(old, after[STATISTICS]["map"][name]), name
    moments = jit(made.predict)(after, cases.batch())
    assert moments.start.shape == (6, 4) and np.isfinite(moments.score[:, 0]).all()


def test_running_statistics_are_read_in_prediction_alone():
    made, params = cases.system(cases.config(text__encoder="clip"))
    b = cases.batch()
    other = params | {STATISTICS: jax.tree.map(lambda x: x + 0.5, params[STATISTICS])}
    one, two = (jit(made.predict)(p, b).score for p in (params, other))
    assert not np.allclose(one, two)
    loss = jit(lambda p: made.loss(p, b, jax.random.key(0), cases.FIRST_EPOCH).terms)
    jax.tree.map(np.testing.assert_array_equal, loss(params), loss(other))


def test_dropout_is_active_in_training_alone():
    b, keys = cases.batch(), jax.random.split(jax.random.key(0))
    for encoder, changes in (("distilbert", True), ("clip", False)):
        made, params = cases.system(cases.config(text__encoder=encoder))
        loss = jit(lambda key, m=made, p=params: m.loss(p, b, key, cases.FIRST_EPOCH).terms)
        one, two = (loss(key)["iou"][0] for key in keys)
        assert (one != two) == changes


def test_the_text_encoder_is_frozen_first_and_then_slow():
    c = cases.config(optimizer__slow__freeze_epochs=2, optimizer__slow__factor=0.1)
    pace = Pace(1, 4)
    _, states, _ = _train(c, make_optimizer(c.optimizer, pace), steps=3, pace=pace)
    change = lambda name, k: max(  # noqa: E731
        float(np.abs(np.asarray(a) - b).max())
        for a, b in zip(
            jax.tree.leaves(states[k].params[name]),
            jax.tree.leaves(states[k + 1].params[name]),
            strict=True,
        )
    )
    rate = c.optimizer.learning_rate
    for name in ("text_norm", "query_iou", "map"):
        assert change(name, 0) == pytest.approx(rate, rel=0.05)
    assert change("text_encoder", 0) == change("text_encoder", 1) == 0
    assert change("text_encoder", 2) == pytest.approx(0.1 * rate, rel=0.05)


def test_linear_layers_start_as_pytorchs():
    c = cases.config(dim=64, joint_dim=64)
    made = models.make(c, {"target": cases.SPEC._replace(video_dim=25)})
    spec = cases.SPEC._replace(video_dim=25)
    inputs_of = {"video_fc": 25, "cell_iou": 64, "query_contrastive": 64}

    def first(key):
        params = made.init(key, cases.batch(spec=spec))
        return {name: params[name] for name in inputs_of}

    params = run_on_host(lambda: first(jax.random.key(0)))
    for name, inputs in inputs_of.items():
        for part in ("kernel", "bias"):
            values = np.abs(np.asarray(params[name][part]))
            assert 0.85 * inputs**-0.5 < values.max() <= inputs**-0.5, name
            assert values.mean() == pytest.approx(0.5 * inputs**-0.5, rel=0.25), name


def test_the_text_encoder_comes_from_a_file(tmp_path):
    c = cases.config()
    file = tmp_path / "model.safetensors"
    expected = cases.write_distilbert(file, c)
    c.text.weights = str(file)
    params = cases.system(c)[1]
    found = models.of(c).pretrained(c, params)
    jax.tree.map(np.testing.assert_array_equal, found["text_encoder"], expected)
    jax.tree.map(
        np.testing.assert_array_equal, found | {"text_encoder": params["text_encoder"]}, params
    )
    assert jax.tree.structure(found) == jax.tree.structure(params)
    c.text.weights = ""
    assert models.of(c).pretrained(c, params) is params


def test_a_file_for_another_encoder_is_refused(tmp_path):
    c = cases.config()
    file = tmp_path / "model.safetensors"
    cases.write_distilbert(file, c)
    c.update_from_flattened_dict({"text.weights": str(file), "text.encoder": "clip"})
    params = cases.system(c)[1]
    with pytest.raises(ValueError, match="does not fit this encoder; is it the right model"):
        models.of(c).pretrained(c, params)
    c.text.weights = str(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no weights at .*nothing"):
        models.of(c).pretrained(c, params)


def test_a_run_starts_from_the_file_unless_it_is_restored(toy_data, tmp_path):
    c = small_mmn(toy_data)
    file = tmp_path / "model.safetensors"
    expected = cases.write_distilbert(file, c)
    settings = {"text.weights": str(file), "optimizer.learning_rate": 0.0, "epochs": 1}
    c.update_from_flattened_dict(settings)
    console = Console(quiet=True)
    report = train.train(c, tmp_path / "first", "", console)
    assert report["queries"] == 10
    jax.tree.map(np.testing.assert_array_equal, _params(tmp_path / "first"), expected)
    cases.write_distilbert(file, c, seed=4)
    train.train(c, tmp_path / "second", str(tmp_path / "first"), console)
    jax.tree.map(np.testing.assert_array_equal, _params(tmp_path / "second"), expected)


def _params(workdir):
    """The text encoder of a run's last checkpoint."""
    checkpoints = Checkpoints(workdir / "checkpoints", read_only=True)
    return checkpoints.restore_params(checkpoints.steps()[-1])["text_encoder"]


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"neg_mask": "none"}, "config.neg_mask='none': use one of exclude, legacy_one"),
        ({"map__form": "full"}, "config.map.form='full': use one of sparse, dense"),
        (
            {"score__fusion": "sum"},
            "config.score.fusion='sum': use one of mmn_pow, product, iou_only",
        ),
        ({"text__encoder": "bert"}, "config.text.encoder='bert': use one of distilbert, clip"),
        ({"text__size": "large"}, "config.text.size='large': use one of base, small"),
        ({"precision": "half"}, "config.precision='half': use one of float32, bfloat16"),
        ({"map__pooling_counts": (3, 1)}, "pooling counts .3, 1. reach offset 5"),
        ({"map__layers": 3, "map__kernel": 2}, "need a padding of 1.5: give an odd kernel"),
        ({"target__max_clips": 20}, "config.target.max_clips=20 steps cannot be pooled to"),
        ({"target__labels": False}, "config.target.labels=False: MMN learns from boundaries"),
        ({"iou__max": 0.5}, "config.iou.min=0.5 and config.iou.max=0.5 scale no label"),
        ({"contrastive__positives": 30}, "config.contrastive.positives=30: use 1 to 29"),
        ({"contrastive__tau_s": 0.0}, "temperatures must be above 0"),
        ({"contrastive__group_size": 3}, "group_size=3 does not divide config.batch_size=4"),
    ],
)
def test_wrong_switches_are_refused(switches, message):
    with pytest.raises(ValueError, match=message):
        models.make(cases.config(**switches), cases.SPECS)
