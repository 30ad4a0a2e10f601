"""One training step of the smallest form of every system, by the step that runs take."""

import eva_cases
import jax
import mmcda_cases
import mmn_cases
import numpy as np
import prem_cases
import pytest
import vdi_cases
import vlanet_cases

from vmr_jax import models
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.state import state_maker
from vmr_jax.training.steps import Pace, train_step
from vmr_jax.types import HybridBatch

PACE = Pace(10, 2)


def _eva():
    batches = {role: eva_cases.batch(spec) for role, spec in eva_cases.SPECS.items()}
    return eva_cases.config(), eva_cases.SPECS, HybridBatch(**batches)


def _vlanet():
    return vlanet_cases.config(), vlanet_cases.SPECS, vlanet_cases.batch()


def _mmcda():
    config = mmcda_cases.config()
    return config, mmcda_cases.SPECS, mmcda_cases.example(config)


def _mmn():
    return mmn_cases.config(), mmn_cases.SPECS, mmn_cases.batch()


def _vdi():
    config = vdi_cases.config()
    return config, vdi_cases.SPECS, vdi_cases.batch(config)


def _prem_retriever():
    config = prem_cases.config("prem_retriever")
    return config, prem_cases.SPECS, prem_cases.example(config)


def _prem_localizer():
    config = prem_cases.config("prem_localizer")
    return config, prem_cases.SPECS, prem_cases.example(config)


CASES = {
    "eva": _eva,
    "mmcda": _mmcda,
    "mmn": _mmn,
    "prem_localizer": _prem_localizer,
    "prem_retriever": _prem_retriever,
    "vdi": _vdi,
    "vlanet": _vlanet,
}


def test_no_system_is_left_out():
    assert set(CASES) == set(models.names())


@pytest.mark.parametrize("name", CASES)
def test_one_step(name):
    config, specs, batch = CASES[name]()
    config.optimizer.learning_rate = 1e-2
    assert config.system == name
    system = models.make(config, specs)
    optimizer = make_optimizer(config.optimizer, PACE)
    before = jax.jit(state_maker(system, optimizer, batch, config.seed))()
    step = jax.jit(
        lambda state, batch: train_step(
            state, batch, np.uint32(0), system=system, optimizer=optimizer, pace=PACE
        )
    )
    after, metrics = step(before._replace(step=before.step + 1), jax.device_put(batch))
    assert int(after.step) == 2
    assert all(np.isfinite(value).all() for value in jax.tree.leaves((metrics, after.params)))
    assert float(metrics["loss"]) > 0 and float(metrics["grad_norm"]) > 0
    moved = jax.tree.map(lambda x, y: bool((x != y).any()), before.params, after.params)
    assert np.mean(jax.tree.leaves(moved)) > 0.5, moved
