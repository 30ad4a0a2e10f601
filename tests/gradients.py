"""Gradients beside numerical ones, in few programs."""

import jax
import numpy as np
from jax.test_util import check_grads


def check_gradients(function, arguments, **tolerances) -> None:
    """`check_grads` of the first order in reverse mode, of `function` compiled as one program.

    Steps along a direction are NumPy's: JAX would compile each operation for each shape.
    """
    arguments = jax.tree.map(np.asarray, arguments)
    check_grads(jax.jit(function), arguments, order=1, modes=["rev"], **tolerances)
