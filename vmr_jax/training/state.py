"""The training state and how it comes to lie on the mesh."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vmr_jax.training.host_program import run_on_host
from vmr_jax.training.mesh import state_shardings
from vmr_jax.types import INPUTS, STATISTICS, Array, Params, System


class TrainState(NamedTuple):
    """Everything that a step changes; randomness and data follow from `step` alone."""

    step: Array  # () int32, steps done
    params: Params
    opt_state: Any


def state_maker(system: System, optimizer: optax.GradientTransformation, example: Any, seed: int):
    """A function of no arguments that makes the first state.

    `example` is a batch of ShapeDtypeStructs.
    """

    def make() -> TrainState:
        batch = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), example)
        params = system.init(jax.random.key(seed, impl="threefry2x32"), batch)
        opt_state = optimizer.init(split_statistics(params)[0])
        return TrainState(jnp.zeros((), jnp.int32), params, opt_state)

    return make


def split_statistics(params: Params) -> tuple[dict, dict]:
    """What is trained, and what is not: running statistics, and those of the inputs."""
    fixed = {name: leaf for name, leaf in params.items() if name in (STATISTICS, INPUTS)}
    return {name: leaf for name, leaf in params.items() if name not in fixed}, fixed


def abstract_state(make, mesh: jax.sharding.Mesh, rules=()) -> TrainState:
    """The state as ShapeDtypeStructs with shardings: what `make` would give, without computing."""
    shapes = jax.eval_shape(make)
    return jax.tree.map(
        lambda leaf, sharding: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        shapes,
        state_shardings(shapes, mesh, rules),
    )


def first_state(make, abstract: TrainState) -> TrainState:
    """Make the state where it shall lie, without a compilation."""

    def place(leaf: np.ndarray, like: jax.ShapeDtypeStruct) -> jax.Array:
        return jax.make_array_from_callback(leaf.shape, like.sharding, leaf.__getitem__)

    return jax.tree.map(place, run_on_host(make), abstract)


def num_parameters(params: Params) -> int:
    """Number of scalars in a tree of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
