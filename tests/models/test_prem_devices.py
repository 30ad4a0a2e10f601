"""Eight simulated devices give the retriever's loss and gradient of one."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pytest

TIMEOUT = 240


def gradients():
    """The loss and gradient of one batch of eight items, on one device and on eight."""
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 8)
    from jax.sharding import AxisType, NamedSharding, PartitionSpec

    from tests.models import prem_cases as cases
    from vmr_jax.training.steps import term_means

    made, params = cases.system(cases.config())
    batch = cases.pad(cases.batch(), rows=2, clips=0, words=0)

    @jax.jit
    def run(params, batch):
        def loss(params):
            return sum(term_means(made.loss(params, batch, jax.random.key(0), None).terms).values())

        return jax.value_and_grad(loss)(params)

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    found = []
    for everywhere, along in (
        (jax.devices()[0], jax.devices()[0]),
        (NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec("data"))),
    ):
        placed = jax.device_put(params, everywhere), jax.device_put(batch, along)
        found.append(jax.device_get(jax.tree.leaves(run(*placed))))
    return found


@pytest.mark.slow  # a further system; by default two processes train PREM's localizer
def test_eight_devices_give_the_gradient_of_one(monkeypatch):
    """Negatives are of the whole batch, which has padding and two queries of one video."""
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")
    pool = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    try:
        one, eight = pool.submit(gradients).result(timeout=TIMEOUT)
    finally:
        for process in list(pool._processes.values()):
            process.kill()
        pool.shutdown(cancel_futures=True)
    assert len(one) == len(eight) > 30
    np.testing.assert_allclose(eight[0], one[0], rtol=1e-5)
    for ours, theirs in zip(eight[1:], one[1:], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5 * np.abs(theirs).max() + 1e-6)
