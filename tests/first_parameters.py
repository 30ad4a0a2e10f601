"""First parameters in tests, as runs draw them: nothing is compiled."""

import jax

from vmr_jax.training.host_program import run_on_host


def init(module, *inputs, seed: int = 0):
    """What the `init` of a Flax module or of a system makes for inputs."""
    key = jax.random.key(seed, impl="threefry2x32")
    return jax.device_put(run_on_host(lambda: module.init(key, *inputs)))
