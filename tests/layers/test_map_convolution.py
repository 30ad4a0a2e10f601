import json
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import check_gradients
from vmr_jax.layers.map_convolution import MapConvolutions, batch_statistics, convolve_rows
from vmr_jax.layers.map_reach import map_reach, map_weights
from vmr_jax.layers.moment_map import moment_cells

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mmn.json").read_text())
TINY = (8, (3, 2), 3, 2)
# clips, pooling counts, kernel, layers: odd and even kernels, one layer, one clip.
SIZES = [TINY, (12, (3, 2, 1), 5, 2), (5, (4,), 3, 3), (6, (5,), 2, 2), (9, (4, 2), 1, 1)]
SIZES += [(1, (), 3, 2)]
PAPER = {
    "Charades-STA": (16, (15,), 5, 8),
    "ActivityNet": (64, (15, 8, 8), 9, 4),
    "TACoS": (128, (15, 8, 8, 8), 5, 8),
}
# Programs of a test run once: compile them quickly.
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
both = pytest.mark.parametrize("form", ["sparse", "dense"])


def _input(name):
    spec = GOLDEN["inputs"][name]
    n = np.arange(np.prod(spec["shape"])) + 1
    values = spec["offset"] + spec["scale"] * np.sin(spec["freq"] * n)
    return jnp.asarray(values.reshape(spec["shape"]), jnp.float32)


def _golden_variables():
    params, stats = {}, {}
    for n in (1, 2):
        params[f"kernel{n}"] = _input(f"conv{n}_w").transpose(2, 3, 1, 0)
        params[f"bias{n}"] = _input(f"conv{n}_b")
        params[f"scale{n}"] = _input(f"bn{n}_gamma")
        params[f"offset{n}"] = _input(f"bn{n}_beta")
        stats[f"mean{n}"], stats[f"var{n}"] = _input(f"bn{n}_mean"), _input(f"bn{n}_var")
    return {"params": params, "batch_stats": stats}


def _shapes(module, shape):
    return jax.eval_shape(partial(module.init, train=False), jax.random.key(0), jnp.zeros(shape))


def _case(size, form, videos=3, width=5, features=4, seed=0, **options):
    """A module, random variables without biases of zero, and a random map."""
    rng = np.random.default_rng(seed)
    module = MapConvolutions(*size, features=features, form=form, **options)
    shape = (videos, len(moment_cells(*size[:2]).row), width)
    abstract = jax.eval_shape(
        partial(module.init, train=False), jax.random.key(0), jnp.zeros(shape)
    )
    draw = lambda leaf: jnp.asarray(rng.uniform(0.1, 0.7, leaf.shape), jnp.float32)  # noqa: E731
    rows = jnp.asarray(rng.standard_normal(shape), jnp.float32)
    return module, jax.tree.map(draw, abstract), rows


@partial(jit, static_argnums=0)
def _step(module, variables, rows, weight=None):
    """Output and new statistics of a training step, and gradients of a loss of the output."""

    def loss(params, rows):
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        out, new = module.apply(state, rows, True, weight, mutable=["batch_stats"])
        return jnp.sum(jnp.sin(out + jnp.arange(out.size).reshape(out.shape))), (out, new)

    grad = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (_, aux), gradients = grad(variables["params"], rows)
    return aux, gradients


@partial(jit, static_argnums=0)
def _evaluate(module, variables, rows):
    return module.apply(variables, rows, False)


def _close(one, other, tolerance=1e-4):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance), one, other
    )


@both
def test_golden_in_evaluation_and_training(form):
    golden = GOLDEN["outputs"]["b_proposal_conv"]
    cells = moment_cells(*TINY[:2])
    rows = jnp.asarray(GOLDEN["outputs"]["a_clips_and_map"]["map_valid_cells"], jnp.float32)
    module, variables = MapConvolutions(*TINY, features=8, form=form), _golden_variables()
    (trained, new), _ = _step(module, variables, rows)
    for mode, out in (("eval", _evaluate(module, variables, rows)), ("train", trained)):
        for head, name in (("c", "F_c"), ("iou", "F_iou")):
            found = out @ _input(f"head_{head}_w")[..., 0, 0].T + _input(f"head_{head}_b")
            expected = np.array(golden[f"{mode}_{name}"])[:, cells.row, cells.column]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    for n in (1, 2):
        for found, expected in (("mean", "mean{}"), ("var", "var{}_biased")):
            expected = golden["train_running_" + expected.format(n)]
            found = new["batch_stats"][f"{found}{n}"]
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_golden_weights_of_the_map():
    for number, weight in enumerate(map_weights(*TINY), 1):
        golden = GOLDEN["outputs"]["b_proposal_conv"][f"weight_layer{number}"]
        np.testing.assert_allclose(weight, golden, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_forms_agree(size):
    sparse, variables, rows = _case(size, "sparse")
    dense = sparse.clone(form="dense")
    weight = jnp.array([1.0, 0.0, 1.0])
    one, other = (
        (_step(module, variables, rows, weight), _evaluate(module, variables, rows))
        for module in (sparse, dense)
    )
    _close(one, other)


def test_batch_statistics_count_each_position_once():
    rng = np.random.default_rng(0)
    rows, bias = rng.standard_normal((4, 3, 2)), rng.standard_normal(2)
    found = batch_statistics(jnp.asarray(rows), jnp.asarray(bias), 5, jnp.array([1, 0, 1, 1]), 2)
    maps = np.concatenate([rows, np.broadcast_to(bias, (4, 5, 2))], axis=1)
    for group, videos in enumerate(([0], [2, 3])):
        values = maps[videos].reshape(-1, 2)
        np.testing.assert_allclose(found[0][group], values.mean(0), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found[1][group], values.var(0), rtol=1e-5, atol=1e-6)


@both
def test_groups_are_batches_of_their_own(form):
    module, variables, rows = _case(TINY, form, videos=4, group_size=2)
    (out, new), _ = _step(module, variables, rows)
    alone = module.clone(group_size=0)
    (first, first_new), _ = _step(alone, variables, rows[:2])
    (second, _), _ = _step(alone, variables, rows[2:])
    _close(out, jnp.concatenate([first, second]), 1e-5)
    _close(new, first_new, 1e-5)


@both
def test_padded_videos_change_nothing(form):
    module, variables, rows = _case(TINY, form)
    (out, new), (of_params, _) = _step(module, variables, rows[:2])
    padded = rows.at[2].set(7.0)

    def loss(params):
        state = {"params": params, "batch_stats": variables["batch_stats"]}
        weight = jnp.array([1.0, 1.0, 0.0])
        found, stats = module.apply(state, padded, True, weight, mutable=["batch_stats"])
        found = found[:2]
        return jnp.sum(jnp.sin(found + jnp.arange(found.size).reshape(found.shape))), (found, stats)

    (_, aux), gradients = jit(jax.value_and_grad(loss, has_aux=True))(variables["params"])
    _close((aux, gradients), ((out, new), of_params))


@pytest.mark.parametrize("train", [True, False])
def test_gradients_by_differences(train):
    module, variables, rows = _case(TINY, "sparse", videos=2, width=2, features=2)
    with jax.enable_x64(True):
        state, rows = jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), (variables, rows))
        module = module.clone(dtype=jnp.float64)

        def run(params, rows):
            out = module.apply({**state, "params": params}, rows, train)
            return jnp.sin(out).sum()

        check_gradients(run, (state["params"], rows), rtol=1e-4)


def test_rows_of_a_layer_are_the_convolution_in_float64():
    size = (12, (3, 2, 1), 3, 2)
    layer = map_reach(*size, True).layers[0]
    cells = moment_cells(*size[:2])
    rng = np.random.default_rng(3)
    rows = rng.standard_normal((1, len(cells.row), 3)).astype(np.float32)
    kernel = rng.standard_normal((3, 3, 3, 2)).astype(np.float32)
    padded = np.zeros((16, 16, 3))
    padded[cells.row + 2, cells.column + 2] = rows[0]
    expected = np.array(
        [
            [np.einsum("abc,abcd->d", padded[y : y + 3, x : x + 3], kernel) for x in range(14)]
            for y in range(14)
        ]
    )
    reached = map_weights(*size)[0] > 0
    found = convolve_rows(layer, jnp.asarray(rows), jnp.asarray(kernel))[0]
    np.testing.assert_allclose(found, expected[reached], rtol=1e-5, atol=1e-5)
    assert not expected[~reached].any()


@pytest.mark.slow  # no run computes a map without jit
@both
def test_with_and_without_jit(form):
    module, variables, rows = _case((3, (2,), 3, 2), form)
    out, new = module.apply(variables, rows, True, mutable=["batch_stats"])
    _close((out, new), _step(module, variables, rows)[0], 1e-5)


@both
def test_bfloat16_is_near_float32(form):
    module, variables, rows = _case(TINY, form)
    (out, _), _ = _step(module, variables, rows)
    (half, _), half_gradients = _step(module.clone(dtype=jnp.bfloat16), variables, rows)
    assert half.dtype == jnp.float32
    _close(half, out, 0.05)
    assert {leaf.dtype for leaf in jax.tree.leaves(half_gradients)} == {rows.dtype}


@pytest.mark.parametrize(
    ("name", "positions", "reached", "products"),
    [
        ("Charades-STA", 7872, (54.5, 48.8), (48.9, 43.5)),
        ("ActivityNet", 23424, (64.9, 50.5), (54.0, 42.3)),
        ("TACoS", 161984, (56.2, 46.2), (51.0, 42.3)),
    ],
)
def test_work_of_the_papers_sizes(name, positions, reached, products):
    """Percent of the dense form's positions and products, in training and at inference."""
    size = PAPER[name]
    assert sum(weight.size for weight in map_weights(*size)) == positions
    dense = positions * size[2] ** 2
    training, inference = (map_reach(*size, train).layers for train in (True, False))
    found = [
        100 * sum(len(x.weight) for x in layers) / positions for layers in (training, inference)
    ]
    np.testing.assert_allclose(found, reached, atol=0.051)
    both_ways = sum(x.forward.taps.size + 2 * x.backward.taps.size for x in training) / 3
    found = [100 * both_ways / dense, 100 * sum(x.forward.taps.size for x in inference) / dense]
    np.testing.assert_allclose(found, products, atol=0.051)


def test_sizes_of_the_maps():
    sides = lambda name: [len(weight) for weight in map_weights(*PAPER[name])]  # noqa: E731
    assert sides("Charades-STA") == list(range(44, 15, -4))
    assert sides("ActivityNet") == [88, 80, 72, 64]
    assert sides("TACoS") == list(range(156, 127, -4))


@pytest.mark.parametrize("name", ["Charades-STA", "ActivityNet"])
def test_parameters_and_their_first_values(name):
    size = PAPER[name]
    shape = (1, len(moment_cells(*size[:2]).row), 512)
    module = MapConvolutions(*size)
    abstract = jax.eval_shape(
        partial(module.init, train=False), jax.random.key(0), jnp.zeros(shape)
    )
    kernel = (size[2], size[2], 512, 512)
    assert [abstract["params"][f"kernel{n + 1}"].shape for n in range(size[3])] == [kernel] * size[
        3
    ]
    # Without pooling, heads and text: (512 k k + 3) 512 L.
    count = sum(leaf.size for leaf in jax.tree.leaves(abstract["params"]))
    assert count == (512 * size[2] ** 2 + 3) * 512 * size[3]
    assert len(abstract["batch_stats"]) == 2 * size[3]

    _, _, rows = _case(TINY, "sparse", width=5)
    draw = MapConvolutions(*TINY, features=40).init
    drawn = jit(draw, static_argnums=2)(jax.random.key(1), rows, True)
    for number, width in ((1, 5), (2, 40)):
        bound = (9 * width) ** -0.5
        for leaf in (drawn["params"][f"kernel{number}"], drawn["params"][f"bias{number}"]):
            assert 0.8 * bound < np.abs(leaf).max() <= bound
            assert abs(leaf.mean()) < bound / 2
        np.testing.assert_array_equal(drawn["params"][f"scale{number}"], 1)
        np.testing.assert_array_equal(drawn["params"][f"offset{number}"], 0)
        np.testing.assert_array_equal(drawn["batch_stats"][f"mean{number}"], 0)
        np.testing.assert_array_equal(drawn["batch_stats"][f"var{number}"], 1)


def test_mistakes_are_named():
    _, variables, rows = _case(TINY, "sparse")
    with pytest.raises(ValueError, match="the form of the map's convolutions is 'fast', not of"):
        MapConvolutions(*TINY, features=4, form="fast").apply(variables, rows, False)
    with pytest.raises(ValueError, match="the map has 29 cells, but 8 clips .* have 36"):
        MapConvolutions(8, (7,), 3, 2, features=4).apply(variables, rows, False)
    with pytest.raises(ValueError, match="must be N - 1"):
        MapConvolutions(9, (3, 2), 3, 2, features=4).apply(variables, rows, False)
    with pytest.raises(ValueError, match="3 layers of 2 x 2 kernels need a padding of 1.5"):
        MapConvolutions(8, (3, 2), 2, 3, features=4).apply(variables, rows, False)
    module = MapConvolutions(*TINY, features=4, group_size=2)
    with pytest.raises(ValueError, match="3 videos cannot be split into groups of 2"):
        module.apply(variables, rows, True, mutable=["batch_stats"])
