"""Every switch of EVA trains; every wrong one is refused with a message that helps."""

import functools

import eva_cases as cases
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from absl import flags
from ml_collections import config_flags

from vmr_jax import models
from vmr_jax.layers.domain_adversarial import domain_loss
from vmr_jax.layers.sequences import masked_max
from vmr_jax.models.eva import losses as eva_losses
from vmr_jax.models.eva import network
from vmr_jax.types import DataSpec

pytestmark = pytest.mark.usefixtures("quick_random_numbers")

# Each case turns many switches at once, so that few programs cover every value.
CASES = {
    "first": {
        "attn.layer_norm": "post",
        "attn.heads": 2,
        "boundary_prob": "sigmoid_bce",
        "cross_position": "after_self1",
        "domain.extra_mmd": "cross_modal",
        "domain.form": "literal",
        "domain.out": "sigmoid",
        "full.match": "proposals",
        "mmd.samples": "max",
        "proposals.add_full": True,
        "proposals.tail": True,
        "share": ("self1", "self2", "cross", "head", "proj"),
    },
    "second": {
        "precision": "bfloat16",
        "boundary_prob": "sigmoid_nll",
        "cross_position": "before_self2",
        "cross_update": "sequential",
        "domain.extra_mmd": "none",
        "domain.form": "minus_no_grl",
        "full.match": "sim_max",
        "fusion.fc_out": "identity",
        "init": "normal002",
        "mmd.kernel": "fixed",
        "share": (),
    },
    "WR": {"branches.full": False},
    "WR + unlabelled source": {
        "precision": "bfloat16",
        "branches.full": False,
        "domain.act": "none",
        "domain.extra_mmd": "none",
        "fusion.fc_out": "2d",
        "mmd.elements": 6,
        "mmd.kernel": "median_single",
        "mmd.samples": "elements",
        "pretrain": "unlabelled_source",
    },
    "source alone": {
        "boundary_prob": "sigmoid_nll",
        "branches.weak": False,
        "full.match": "proposals",
        "query_pool_stage": "before",
    },
}


# A further combination: other cases have a part of its switches, tests of formulas the rest.
SLOW = ("second",)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CASES]
)
def test_one_step_is_finite_and_lowers_the_loss(name):
    c = cases.config(dropout=0.1)
    c.update_from_flattened_dict(CASES[name])
    made, params = cases.system(c)
    batches = cases.example(c)
    key = jax.random.key(0)

    @cases.jit
    def run(params, key):
        return jax.value_and_grad(lambda p: cases.total(made, p, batches, key))(params)

    loss, gradient = run(params, key)
    assert loss == run(params, key)[0] != run(params, jax.random.key(1))[0]  # by dropout
    for leaf in jax.tree.leaves((loss, gradient)):
        assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all()
    unused = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradient)
        if not np.asarray(leaf).any()
    ]
    assert all("word_score" in name for name in unused), unused
    if c.domain.form == "grl_plus":
        task = run(jax.tree.map(lambda p, g: p - 1e-4 * g, params, gradient), key)[0]
        assert task < loss
    target = cases.batch(cases.SPECS["target"])
    moments = cases.jit(made.predict)(params, target)
    assert np.isfinite(moments.score[:, 0]).all()
    assert (moments.end[:, 0] <= target.duration + 1e-5).all()


@pytest.mark.slow  # no run computes a loss without jit
def test_jit_changes_nothing():
    c = cases.config(dropout=0.1)
    made, params = cases.system(c)
    batches = cases.example(c)
    np.testing.assert_allclose(
        cases.total(made, params, batches),
        cases.jit(lambda p, b: cases.total(made, p, b))(params, batches),
        rtol=1e-6,
    )


@pytest.mark.slow  # a further system: test_mmcda_switches.py has the same
def test_bfloat16_stays_near_float32():
    made, params = cases.system(cases.config())
    half, _ = cases.system(cases.config(precision="bfloat16"))
    batches = cases.example(cases.config())
    one, other = (
        cases.jit(lambda p, m=m: cases.means(m, p, batches))(params) for m in (made, half)
    )
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0.1, atol=0.02, err_msg=name)


@functools.cache
def _domain_gradients(form):
    """Gradients of the domain term by classifier and features, and those of L_dom itself."""
    c = cases.config(domain__form=form)
    made, params = cases.system(c)
    rng = np.random.default_rng(0)
    weak = network.Branch(network.modules(c), c, (2, 4), 2)
    parts = [jnp.asarray(rng.standard_normal((4, 8)), jnp.float32) for _ in range(4)]
    weights = jnp.array([1.0, 1, 1, 0]), jnp.ones(4)

    def term(classifier, parts):
        return eva_losses.adversarial(weak, classifier, (parts[:2], parts[2:]), weights)

    def plain(classifier, parts):
        source, target = (jnp.concatenate(parts[i : i + 2], -1) for i in (0, 2))
        run = lambda x: weak.modules["domain"].apply({"params": classifier["domain"]}, x)  # noqa: E731
        return domain_loss(run(source), run(target), *weights)

    both = [jax.jit(jax.grad(f, (0, 1)))(params["domain"], parts) for f in (term, plain)]
    return *both, c.lambdas.domain


@pytest.mark.parametrize(
    ("form", "classifier_sign", "feature_sign"),
    [("grl_plus", 1, -1), ("literal", -1, 1), ("minus_no_grl", None, -1)],
)
def test_signs_of_the_domain_gradients(form, classifier_sign, feature_sign):
    (classifier, features), (own, joint), weight = _domain_gradients(form)
    scale = 1.0 if classifier_sign is None else classifier_sign * weight
    for found, expected, factor in (
        (classifier, own, scale),
        (features, joint, feature_sign * weight),
    ):
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
            np.testing.assert_allclose(one, factor * other, rtol=1e-5, atol=1e-8)


def test_one_adam_step_equals_the_steps_of_two_players():
    (classifier, features), (own, joint), weight = _domain_gradients("minus_no_grl")
    adam = optax.adam(1e-3)

    def step(gradient):
        return jax.tree.leaves(adam.update(gradient, adam.init(gradient))[0])

    together = step((classifier, features))
    apart = step(own) + step(jax.tree.map(lambda g: -weight * g, joint))
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-9)


def test_the_pooled_features_of_the_classifier_ignore_padding():
    rows = jnp.array([[[1.0], [5.0], [9.0]]])
    assert masked_max(rows, jnp.array([[True, True, False]])) == 5


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        (
            {"share": ("cross", "encoder")},
            "cannot share encoder. Modules that can be shared: self1",
        ),
        ({"attn__heads": 3}, "config.attn.heads=3 does not divide config.dim=8"),
        ({"dropout": 1.0}, "config.dropout=1.0: use a rate of at least 0, below 1"),
        ({"branches__weak": False, "branches__full": False}, "at least one of weak and full"),
        ({"pretrain": "source_finetune"}, "trains the weak branch alone"),
        (
            {"pretrain": "unlabelled_source", "branches__weak": False},
            "config.pretrain='unlabelled_source' trains the weak branch alone",
        ),
    ],
)
def test_contradictions_are_refused(switches, message):
    with pytest.raises(ValueError, match=message.replace("(", "\\(").replace(".", "\\.")):
        models.make(cases.config(**switches), cases.SPECS)


def test_different_widths_need_a_projection_a_branch():
    specs = {"source": DataSpec(9, 5, 7, 4), "target": DataSpec(6, 5, 9, 4)}
    models.make(cases.config(), specs)
    message = "video_dim is 9 in the source and 6 in the target, but one projection serves both"
    for switches in (
        {"share": ("cross", "proj")},
        {"branches__full": False, "pretrain": "unlabelled_source"},
    ):
        with pytest.raises(ValueError, match=message):
            models.make(cases.config(**switches), specs)
    specs["target"] = DataSpec(9, 6, 9, 4)
    with pytest.raises(ValueError, match="word_dim is 5 in the source and 6 in the target"):
        models.make(cases.config(share=("proj",)), specs)


def test_domains_of_the_comparison_rows():
    domains = models.describe("eva").domains
    assert domains(cases.config()) == ("source", "target")
    assert domains(cases.config(branches__full=False)) == ("target",)
    assert domains(cases.config(branches__weak=False)) == ("source",)
    both = cases.config(branches__full=False, pretrain="unlabelled_source")
    assert domains(both) == ("source", "target")


def test_fine_tuning_starts_from_the_full_branch_trained_alone():
    c = cases.config(branches__full=False, pretrain="source_finetune")
    before = models.of(c).pretraining(c)
    assert models.of(before).pretraining(before) is None
    assert before.epochs == c.epochs
    shorter = cases.config(branches__full=False, pretrain="source_finetune", pretrain_epochs=3)
    assert models.of(c).pretraining(shorter).epochs == 3
    assert models.of(before).domains(before) == ("source",)
    _, pretrained = cases.system(before, seed=1)
    _, fresh = cases.system(c)
    adopted = models.of(c).merge(c, fresh, pretrained)
    assert jax.tree.structure(adopted) == jax.tree.structure(fresh)
    for name in ("proj", "self1", "self2", "head"):
        for one, other in zip(
            jax.tree.leaves(adopted["weak"][name]),
            jax.tree.leaves(pretrained["full"][name]),
            strict=True,
        ):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(
        adopted["shared"]["cross"]["video"]["query"],
        pretrained["shared"]["cross"]["video"]["query"],
    )
    assert "boundary" not in adopted["weak"]


def test_fine_tuning_says_what_does_not_fit():
    c = cases.config(branches__full=False, pretrain="source_finetune")
    _, fresh = cases.system(c)
    with pytest.raises(ValueError, match="starts from a run with config.branches.weak=False"):
        models.of(c).merge(c, fresh, fresh)
    before = models.of(c).pretraining(c)
    before.full.match = "sim_max"
    _, pretrained = cases.system(before)
    with pytest.raises(ValueError, match="weak/head/scorer: not among the restored parameters"):
        models.of(c).merge(c, fresh, pretrained)


def test_the_weak_branch_of_a_hybrid_run_can_be_restored_alone():
    _, hybrid = cases.system(cases.config())
    c = cases.config(branches__full=False)
    _, fresh = cases.system(c, seed=3)
    adopted = models.of(c).merge(c, fresh, hybrid)
    np.testing.assert_array_equal(
        adopted["weak"]["head"]["scorer"], hybrid["weak"]["head"]["scorer"]
    )


def test_lambdas_can_be_set_from_the_command_line(monkeypatch):
    line = ["main", "--config=configs/eva.py", "--config.lambdas.r=0.2", "--config.lambdas.vid=0.5"]
    monkeypatch.setattr("sys.argv", line)  # where config_flags looks for overrides
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values)
    values(line)
    assert values.config.lambdas.r == 0.2 and values.config.lambdas.vid == 0.5
