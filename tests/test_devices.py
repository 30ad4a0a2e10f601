"""Eight simulated devices give one device's losses and gradients."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from unittest import mock

import numpy as np
import pytest

from tests.conftest import (
    small_detr,
    small_mmcda,
    small_mmn,
    small_settings,
    small_vdi,
    small_vlanet,
)

TIMEOUT = 240


def simulate_devices() -> None:
    """Give this process eight devices."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)


def gradients(system_name: str, data_dir: str) -> list:
    """What `gradient_on` returns for one of this process's devices and for all of them."""
    import jax

    found = []
    for devices in (1, 8):
        with mock.patch.object(jax, "device_count", lambda devices=devices: devices):
            found.append(gradient_on(devices, system_name, data_dir))
    return found


def gradient_on(devices: int, system_name: str, data_dir: str):
    """The losses and the gradient (leaves in order) of one step of a small system on `devices`."""
    import jax
    import optax
    from rich.console import Console

    from vmr_jax import models
    from vmr_jax.configs import eva
    from vmr_jax.datasets import training_domains
    from vmr_jax.training.input_pipeline import make_input_pipeline
    from vmr_jax.training.mesh import make_mesh
    from vmr_jax.training.state import abstract_state, first_state, state_maker

    if system_name == "qd_detr":
        config = small_detr(data_dir)
    elif system_name == "eva":
        config = eva.get_config("toy_source,toy_target")
        config.update_from_flattened_dict(small_settings(data_dir))
    else:
        small = {"mmcda": small_mmcda, "mmn": small_mmn, "vdi": small_vdi, "vlanet": small_vlanet}
        config = small[system_name](data_dir)
    if system_name == "mmcda":
        config.ramp = False  # else its terms have no gradient at the first step
    mesh = make_mesh()
    assert mesh.size == devices
    domains = training_domains(config, models.of(config).domains(config))
    system = models.make(config, {role: domain.spec for role, domain in domains.items()})
    feed = make_input_pipeline(config, models.of(config).batch, domains, mesh, Console(quiet=True))
    optimizer = optax.sgd(1.0)
    maker = state_maker(system, optimizer, feed.example, config.seed)
    state = first_state(maker, abstract_state(maker, mesh, config.parameter_rules))
    if "text_encoder" in state.params:
        kernel = state.params["text_encoder"]["layers"]["fc1"]["kernel"]
        assert kernel.sharding.shard_shape(kernel.shape)[-1] * devices == kernel.shape[-1]
    before = jax.device_get(jax.tree.leaves(state.params))
    state, losses = feed.make_advance(system, lambda _: optimizer, state)(state, 0, 1)
    after = jax.device_get(jax.tree.leaves(state.params))
    gradient = [old - new for old, new in zip(before, after, strict=True)]
    return {name: values[0] for name, values in jax.device_get(losses).items()}, gradient


@pytest.fixture(scope="module")
def pool():
    """One process with eight devices."""
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=simulate_devices)
    yield pool
    for process in list(pool._processes.values()):
        process.kill()
    pool.shutdown(cancel_futures=True)


FURTHER = [
    pytest.param(system_name, terms, marks=pytest.mark.slow)
    for system_name, terms in {
        "mmcda": {"loss", "boundary", "domain_fused", "target_pairs", "instances"},
        "qd_detr": {"loss", "span", "iou", "label", "saliency", "negative", "ranking"},
        "vdi": {"loss", "iou", "visual_context", "spatial_dynamic"},
        "vlanet": {"loss", "contrastive", "similarity_positive", "similarity_negative"},
    }.items()
]


@pytest.mark.parametrize(
    ("system_name", "terms"),
    [
        ("eva", {"loss", "weak", "full_match", "align", "domain"}),
        ("mmn", {"loss", "iou", "moment_to_sentence", "sentence_to_moment"}),
        *FURTHER,
    ],
)
def test_eight_devices_give_the_gradient_of_one(system_name, terms, toy_data, pool):
    results = pool.submit(gradients, system_name, os.fspath(toy_data)).result(timeout=TIMEOUT)
    (losses, gradient), (sharded_losses, sharded_gradient) = results
    assert set(losses) == set(sharded_losses) >= terms
    similarities = {name for name in terms if name.startswith("similarity")}
    assert all(losses[name] > 0 for name in terms - similarities)
    assert all(losses[name] != 0 for name in similarities)
    for name, value in losses.items():
        np.testing.assert_allclose(sharded_losses[name], value, rtol=1e-5, err_msg=name)
    assert len(gradient) == len(sharded_gradient) > 15
    for ours, theirs in zip(sharded_gradient, gradient, strict=True):
        scale = np.abs(theirs).max()
        # Biases before a batch normalisation have a gradient of rounding errors alone
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5 * scale + 4e-6)
