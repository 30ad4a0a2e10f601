"""Every switch of MMCDA trains; every wrong one is refused with a message that helps."""

import functools

import eva_cases
import jax
import jax.numpy as jnp
import mmcda_cases as cases
import numpy as np
import pytest

from vmr_jax import models
from vmr_jax.models.mmcda import switches as mmcda_switches
from vmr_jax.types import STATISTICS, DataSpec

pytestmark = pytest.mark.usefixtures("quick_random_numbers")

# Each case turns many switches at once, so that few programs cover every value.
CASES = {
    "first": {
        "precision": "bfloat16",
        "da.kind": "adversarial",
        "sa.neg": "hardest",
        "position": "sinusoidal",
        "share_encoders": False,
        "mmd.samples": "max",
        "mmd.kernel": "fixed",
        "pseudo_labels": True,
    },
    "second": {
        "precision": "bfloat16",
        "base": "map2d",
        "da.kind": "coral",
        "video_encoder": "bigru",
        "pseudo_labels": True,
        "mmd.samples": "elements",
        "mmd.elements": 6,
        "mmd.kernel": "median_single",
        "ramp": False,
    },
    "upper bound": {"supervision": "target", "target.labels": True},
    "upper bound, map": {"supervision": "target", "target.labels": True, "base": "map2d"},
}


# Further combinations: test_mmcda.py has the gradients of a map, and the upper bound's terms.
SLOW = ("second", "upper bound, map")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in CASES]
)
def test_one_step_is_finite_and_lowers_the_loss(name):
    c = cases.config(dropout=0.1)
    c.update_from_flattened_dict(CASES[name])
    made, params = cases.system(c)
    batches = cases.example(c)
    statistics = {STATISTICS: params.pop(STATISTICS)} if STATISTICS in params else {}

    @cases.jit
    def run(trained, key):
        loss = lambda p: cases.total(made, p | statistics, batches, key=key)  # noqa: E731
        return jax.value_and_grad(loss)(trained)

    key = jax.random.key(0)
    loss, gradient = run(params, key)
    assert loss == run(params, key)[0] != run(params, jax.random.key(1))[0]  # by dropout
    for leaf in jax.tree.leaves((loss, gradient)):
        assert leaf.dtype == jnp.float32 and np.isfinite(leaf).all()
    unused = [
        jax.tree_util.keystr(path)
        for path, leaf in jax.tree_util.tree_leaves_with_path(gradient)
        if not np.asarray(leaf).any()
    ]
    assert not unused
    if c.da.kind != "adversarial":
        size = 3e-2 if c.precision == "bfloat16" else 1e-4
        step = size / max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient))
        assert run(jax.tree.map(lambda p, g: p - step * g, params, gradient), key)[0] < loss
    target = cases.pairs("target")
    moments = cases.jit(made.predict)(params | statistics, target)
    assert np.isfinite(moments.score[:, 0]).all()
    assert (moments.end[:, 0] <= target.duration + 1e-5).all()


OFF = {
    "modules.da": {"domain_video", "domain_query", "domain_fused"},
    "modules.ca": {"source_pairs", "target_pairs", "target_modalities"},
    "modules.sa": {"frames", "frame_ranking", "instances"},
    "ca.source": {"source_pairs"},
    "ca.target_pairs": {"target_pairs"},
    "ca.target_mmd": {"target_modalities"},
    "sa.m7": {"frames"},
    "sa.m8": {"frame_ranking"},
    "sa.m9": {"instances"},
    "target_pairs": {"target_pairs", "instances"},
}


@pytest.mark.parametrize("path", OFF)
def test_a_module_that_is_off_leaves_its_terms_out(path):
    every = mmcda_switches.terms(cases.config())
    assert every == set.union(*OFF.values())
    c = cases.config(**{path.replace(".", "__"): False})
    made = models.make(c, cases.SPECS)
    batches = cases.example(c)
    params = jax.eval_shape(made.init, jax.random.key(0), batches)
    terms = jax.eval_shape(made.loss, params, batches, jax.random.key(0), cases.END).terms
    assert set(terms) == {"boundary", "inside"} | every - OFF[path]


@functools.cache
def _means(*switches):
    """Each term's mean with some switches, for the same parameters and batches."""
    made = models.make(cases.config(**dict(switches)), cases.SPECS)
    params, batches = cases.system(cases.config())[1], cases.example(cases.config())
    return cases.jit(lambda p: cases.means(made, p, batches))(params)


@pytest.mark.parametrize(
    "changes",
    [
        {
            "sa__neg": ("hardest", "instances"),
            "ca__temperature": (0.3, "source_pairs"),
            "mmd__kernel": ("fixed", "target_modalities"),
        },
        {
            "sa__margin": (0.5, "frame_ranking"),
            "ca__attention": (0.3, "target_pairs"),
            "da__kind": ("coral", "domain_video"),
        },
        {"lambdas__sa": (0.25, "frames"), "mmd__samples": ("max", "domain_query")},
        {"position": ("sinusoidal", "boundary")},
    ],
    ids=" ".join,
)
def test_a_switch_changes_its_term(changes):
    """Only one switch of a case can change the term named beside it."""
    one, other = _means(), _means(*((switch, value) for switch, (value, _) in changes.items()))
    for _, term in changes.values():
        assert abs(one[term] - other[term]) > 1e-4, term


@pytest.mark.slow  # no run computes a loss without jit
def test_jit_changes_nothing():
    c = cases.config(dropout=0.3)
    made, params = cases.system(c)
    batches = cases.example(c)
    loss = lambda key: cases.total(made, params, batches, key=key)  # noqa: E731
    key = jax.random.key(1)
    np.testing.assert_allclose(cases.jit(loss)(key), loss(key), rtol=1e-5)


def test_bfloat16_stays_near_float32():
    one, other = _means(), _means(("precision", "bfloat16"))
    for name in one:
        np.testing.assert_allclose(one[name], other[name], rtol=0.15, atol=0.03, err_msg=name)


def test_domains_and_what_chooses():
    assert models.of(cases.config()).domains(cases.config()) == ("source", "target")
    bound = cases.config(supervision="target", target__labels=True)
    assert models.of(bound).domains(bound) == ("target",)
    assert models.of(bound).chooser(cases.config()) == "source"
    assert models.of(bound).chooser(bound) == "target"
    assert models.of(bound).epoch == "largest"


@pytest.mark.parametrize(
    ("switches", "message"),
    [
        ({"heads": 3}, "config.heads=3 does not divide config.dim=8"),
        ({"dim": 9, "heads": 3}, "config.dim=9: a GRU of two directions needs an even one"),
        ({"dropout": 1.0}, "config.dropout=1.0: use a rate of at least 0, below 1"),
        ({"da__points": ("video", "sound")}, "give a tuple of video, query, fused, at least one"),
        ({"da__points": ()}, "config.da.points=(): give a tuple"),
        ({"source__labels": False}, "config.source.labels=False: with config.supervision='source'"),
        ({"supervision": "target"}, "config.target.labels=False: with config.supervision='target'"),
        ({"target_pairs": False, "pseudo_labels": True}, "config.pseudo_labels=True finds moments"),
        (
            {"supervision": "target", "target__labels": True, "pseudo_labels": True},
            "config.pseudo_labels=True teaches a target without labels, but",
        ),
        ({"ca__temperature": 0.0}, "config.ca.temperature=0.0: use more than 0"),
        ({"ca__attention": -1.0}, "config.ca.attention=-1.0: use more than 0"),
        ({"lambdas__da": -1.0}, "config.lambdas.da=-1.0: use 0 or more"),
        ({"base": "map2d", "map__pooling_counts": (3,)}, "reach offset 3, but the longest moment"),
        ({"base": "map2d", "edges": (1,)}, "config.edges=(1,) with config.base='map2d'"),
        ({"base": "map2d", "iou__min": 1.0}, "config.iou.min=1.0 and config.iou.max=1.0 scale no"),
        (
            {
                "share_encoders": False,
                "modules__ca": False,
                "sa__m9": False,
                "da__points": ("query",),
            },
            "no term of the loss trains the target's own projection",
        ),
        ({"position_rows": 8}, "config.target.max_clips=9 clips do not fit config.position_rows=8"),
    ],
)
def test_contradictions_are_refused(switches, message):
    with pytest.raises(ValueError) as error:
        models.make(cases.config(**switches), cases.SPECS)
    assert message in str(error.value)


def test_an_evaluation_names_the_targets_clips():
    """Both roles have the sizes of the evaluated split then."""
    specs = dict.fromkeys(("source", "target"), DataSpec(6, 5, 20, 4))
    with pytest.raises(ValueError, match="config.target.max_clips=20 clips do not fit"):
        models.make(cases.config(), specs)
    long_source = cases.SPECS | {"source": DataSpec(6, 5, 20, 4)}
    with pytest.raises(ValueError, match="config.source.max_clips=20 clips do not fit"):
        models.make(cases.config(), long_source)


def test_other_widths_need_a_projection_a_domain():
    specs = cases.SPECS | {"source": DataSpec(9, 5, 7, 4)}
    message = "video_dim is 9 in the source and 6 in the target, but one projection serves both"
    with pytest.raises(ValueError, match=message):
        models.make(cases.config(), specs)
    c = cases.config(share_encoders=False)
    made = models.make(c, specs)
    source = eva_cases.batch(specs["source"])
    batches = cases.example(c)._replace(source=source)
    params = jax.eval_shape(made.init, jax.random.key(0), batches)
    assert params["video_fc_source"]["kernel"].shape == (9, 8)
    assert params["video_fc_target"]["kernel"].shape == (6, 8)
    jax.eval_shape(made.loss, params, batches, jax.random.key(0), cases.END)
    jax.eval_shape(made.predict_source, params, source)
    with pytest.raises(ValueError, match="word_dim is 4 in the source and 5 in the target"):
        models.make(c, specs | {"source": DataSpec(9, 4, 7, 4)})
