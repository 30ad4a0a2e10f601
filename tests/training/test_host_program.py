"""What NumPy makes of a traced program of random numbers is what JAX makes of it."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vmr_jax.layers.sequences import symmetric_uniform
from vmr_jax.training import host_program
from vmr_jax.training.host_program import run_on_host

LAST_BIT = 2e-7  # of a float32, relative


def draws():
    """Keys of all kinds, as words, and bits of all widths."""
    key = jax.random.key(2**31 + 5, impl="threefry2x32")
    keys = jax.random.split(jax.random.fold_in(key, jnp.int32(7)), (3, 2))
    turned = jnp.concatenate([keys[1:, 0], keys[0]])[jnp.array([2, 0, 1])]
    return {
        "keys": jax.random.key_data(turned),
        "folded": jax.random.key_data(jax.vmap(jax.random.fold_in)(turned, jnp.arange(3))),
        "bits": [jax.random.bits(keys[2, 1], (5, 3), f"uint{width}") for width in (8, 16, 32)],
        "many": jax.random.bits(key, (40_000,)),  # more than a block
        "of each": jax.vmap(lambda key: jax.random.bits(key, (4,)))(turned),
        "none": jax.random.bits(key, (0, 2)),
        "uniform": jax.random.uniform(key, (7,)),
    }


def test_keys_and_bits_are_those_of_jax(monkeypatch):
    ours, theirs = run_on_host(draws), jax.jit(draws)()
    jax.tree.map(np.testing.assert_array_equal, ours, theirs)
    monkeypatch.setattr(host_program, "_LARGE", 0)  # nothing is kept
    jax.tree.map(np.testing.assert_array_equal, ours, run_on_host(draws))
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(ours))


class Layer(nn.Module):
    """A layer of a stack that is scanned and computed again for its gradient."""

    @nn.compact
    def __call__(self, x, _):
        init = nn.initializers.normal(0.02)
        return nn.relu(nn.Dense(4, kernel_init=init)(x)) + nn.Embed(3, 4)(jnp.array([1])), None


class Network(nn.Module):
    """A parameter of every initializer that the systems use, and of Flax's own defaults."""

    @nn.compact
    def __call__(self, x):
        layer = nn.scan(
            nn.remat(Layer), variable_axes={"params": 0}, split_rngs={"params": True}, length=3
        )
        rows, _ = layer()(x, None)
        turn = self.param("turn", nn.initializers.orthogonal(), (4, 4))
        moved = rows @ turn + self.param("plain", symmetric_uniform, (4,), 0.3)
        scale = self.param("xavier", nn.initializers.xavier_uniform(), (4, 6))
        return nn.Dense(5)(moved @ scale)


def init():
    return Network().init(jax.random.key(3, impl="threefry2x32"), jnp.zeros((2, 4)))


def test_first_parameters_are_those_of_a_compiled_program_to_the_last_bit():
    ours, theirs = run_on_host(init), jax.jit(init)()
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    assert len(jax.tree.leaves(ours)) == 8
    for path, leaf in jax.tree_util.tree_leaves_with_path(theirs):
        found = leaf_at(ours, path)
        assert found.dtype == leaf.dtype
        scale = np.abs(leaf).max()
        np.testing.assert_allclose(found, leaf, LAST_BIT, LAST_BIT * scale, err_msg=str(path))
    np.testing.assert_array_equal(ours["params"]["xavier"], theirs["params"]["xavier"])


def leaf_at(tree, path):
    """The leaf of a tree of dicts at a path."""
    for step in path:
        tree = tree[step.key]
    return tree


@pytest.mark.parametrize(
    ("initializer", "low", "high", "deviation"),
    [
        (nn.initializers.xavier_uniform(), -0.25, 0.25, 0.25 / 3**0.5),  # of (64, 32): fans 96
        (nn.initializers.normal(0.02), -0.1, 0.1, 0.02),
        (nn.initializers.lecun_normal(), -0.2844, 0.2844, 1 / 64**0.5),
        (lambda key, shape: symmetric_uniform(key, shape, 0.5), -0.5, 0.5, 0.5 / 3**0.5),
    ],
)
def test_first_parameters_have_their_distribution(initializer, low, high, deviation):
    key = jax.random.key(0, impl="threefry2x32")
    drawn = run_on_host(lambda: initializer(key, (64, 32)))
    assert low <= drawn.min() < 0.6 * low and 0.6 * high < drawn.max() <= high
    assert abs(drawn.mean()) < 4 * deviation / drawn.size**0.5
    assert drawn.std() == pytest.approx(deviation, rel=0.06)


def test_what_is_not_asked_for_is_not_run():
    def called(x):
        raise AssertionError("it was run")

    def make():
        key = jax.random.key(0)
        passed = jax.pure_callback(called, jax.ShapeDtypeStruct((), jnp.float32), 1.0)
        steps = jax.lax.scan(lambda carry, row: (carry * passed, row + 1), passed, jnp.arange(3))
        return jax.random.uniform(key), steps[1]

    drawn, rows = run_on_host(make)
    assert 0 <= drawn < 1 and rows.tolist() == [1, 2, 3]


def test_a_scan_from_the_end_carries_and_stacks():
    def make():
        return jax.lax.scan(lambda c, x: (c - x, c * x), 1.0, jnp.arange(4.0), reverse=True)

    jax.tree.map(np.testing.assert_array_equal, run_on_host(make), jax.jit(make)())
