"""One training step of the smallest form of every system, by the step that runs take."""

import jax
import numpy as np
import pytest

from vmr_jax import models
from vmr_jax.training.host_program import run_on_host
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import state_maker
from vmr_jax.training.steps import Pace, train_step

pytestmark = pytest.mark.usefixtures("quick_random_numbers")
PACE = Pace(10, 2)
# What compiles longest. test_loop, test_transfer_runs, test_evaluate_corpus and test_vdi_switches
# train them in runs; Moment-DETR is a part of QD-DETR.
SLOW = ("eva", "mmcda", "prem_localizer", "vdi", "moment_detr", "qd_detr")


def cases_of(name):
    """The module with a system's small cases: of "prem_retriever" that is prem_cases.

    A plug-in's would have its own name before the first "_".
    """
    family = models._ours().get(name, name.partition("_")[0] + ".").split(".")[-2]
    return pytest.importorskip(f"{family}_cases", reason=f"no tests/models/{family}_cases.py")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in SLOW else []) for n in models.names()]
)
def test_one_step(name):
    config, specs, batch = cases_of(name).one_step(name)
    config.optimizer.learning_rate = 1e-2
    assert config.system == name
    system = models.make(config, specs)
    optimizer = make_optimizer(config.optimizer, PACE)
    before = run_on_host(state_maker(system, optimizer, batch, config.seed))
    step = jax.jit(
        lambda state, batch: train_step(
            state, batch, np.uint32(0), system=system, optimizer=optimizer, pace=PACE
        )
    )
    after, metrics = step(before._replace(step=before.step + 1), jax.device_put(batch))
    assert int(after.step) == 2
    shapes = [jax.tree.map(lambda x: (x.shape, x.dtype), state) for state in (before, after)]
    assert shapes[0] == shapes[1]
    assert {metric.shape for metric in metrics.values()} == {()}
    assert all(np.isfinite(value).all() for value in jax.tree.leaves((metrics, after.params)))
    assert float(metrics["loss"]) > 0 and float(metrics["grad_norm"]) > 0
    moved = jax.tree.map(lambda x, y: bool((x != y).any()), before.params, after.params)
    assert np.mean(jax.tree.leaves(moved)) > 0.5, moved
