import jax
import numpy as np

from tests.first_parameters import init
from vmr_jax.layers.recurrent import GRU, LSTM, BiGRU


def _reference(params, x):
    """The GRU's states (M, D) of one sentence (M, E), in float64."""
    cell = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params["GRUCell_0"])
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    h, states = np.zeros(cell["hn"]["kernel"].shape[0]), []
    for word in x.astype(np.float64):
        of_x = {g: word @ cell[f"i{g}"]["kernel"] + cell[f"i{g}"]["bias"] for g in "rzn"}
        of_h = {g: h @ cell[f"h{g}"]["kernel"] for g in "rzn"}
        reset, keep = sigmoid(of_x["r"] + of_h["r"]), sigmoid(of_x["z"] + of_h["z"])
        new = np.tanh(of_x["n"] + reset * (of_h["n"] + cell["hn"]["bias"]))
        h = (1 - keep) * new + keep * h
        states.append(h)
    return np.stack(states)


def _case():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 3)).astype(np.float32)
    mask = np.arange(5) < np.array([5, 2])[:, None]
    params = init(GRU(4), x, mask)["params"]
    leaves, tree = jax.tree.flatten(params)
    random = [rng.standard_normal(leaf.shape).astype(np.float32) for leaf in leaves]
    return params, jax.tree.unflatten(tree, random), x, mask


def test_all_states_equal_the_recurrence_and_padding_is_zero():
    _, params, x, mask = _case()
    states = jax.jit(GRU(4).apply)({"params": params}, x, mask)
    np.testing.assert_allclose(states[0], _reference(params, x[0]), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(states[1, :2], _reference(params, x[1, :2]), rtol=1e-5, atol=1e-6)
    assert not np.asarray(states[1, 2:]).any()


def test_what_stands_on_padding_changes_nothing():
    _, params, x, mask = _case()
    other = np.where(mask[..., None], x, 7.0).astype(np.float32)
    one, two = (GRU(4).apply({"params": params}, v, mask) for v in (x, other))
    np.testing.assert_array_equal(one, two)


def test_both_directions_stop_at_the_padding():
    _, params, x, mask = _case()
    both = {"GRU_0": params, "GRU_1": jax.tree.map(lambda leaf: -leaf, params)}
    states = jax.jit(BiGRU(8).apply)({"params": both}, x, mask)
    assert states.shape == (2, 5, 8) and not np.asarray(states[1, 2:]).any()
    for row, length in enumerate((5, 2)):
        words = x[row, :length]
        forth = _reference(both["GRU_0"], words)
        back = _reference(both["GRU_1"], words[::-1])[::-1]
        expected = np.concatenate([forth, back], axis=-1)
        np.testing.assert_allclose(states[row, :length], expected, rtol=1e-5, atol=1e-6)


def test_recurrent_kernels_start_orthogonal():
    first, *_ = _case()
    for gate in "rzn":
        kernel = np.asarray(first["GRUCell_0"][f"h{gate}"]["kernel"])
        np.testing.assert_allclose(kernel @ kernel.T, np.eye(4), atol=1e-5)


def test_the_last_state_of_an_lstm_equals_the_recurrence():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, 5, 3)).astype(np.float32)
    params = init(LSTM(4), x)["params"]
    params = jax.tree.map(lambda p: rng.standard_normal(p.shape).astype(np.float32), params)
    (cell,) = params.values()
    sigmoid = lambda v: 1 / (1 + np.exp(-v))  # noqa: E731
    for found, rows in zip(LSTM(4).apply({"params": params}, x), x.astype(np.float64), strict=True):
        h, c = np.zeros(4), np.zeros(4)
        for row in rows:
            gate = {
                g: row @ cell[f"i{g}"]["kernel"]
                + h @ cell[f"h{g}"]["kernel"]
                + cell[f"h{g}"]["bias"]
                for g in "ifgo"
            }
            c = sigmoid(gate["f"]) * c + sigmoid(gate["i"]) * np.tanh(gate["g"])
            h = sigmoid(gate["o"]) * np.tanh(c)
        np.testing.assert_allclose(found, h, rtol=1e-4, atol=1e-6)
