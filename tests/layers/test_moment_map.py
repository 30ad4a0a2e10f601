import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.gradients import check_gradients
from vmr_jax.data.datasets import read_annotations
from vmr_jax.layers.moment_map import (
    cell_iou,
    cell_seconds,
    moment_cells,
    on_map,
    pool_clips,
    span_max,
    span_mean,
    stretch_clips,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "mmn.json").read_text())
OUTPUTS = GOLDEN["outputs"]
SIZES = [(16, (15,), 136), (64, (15, 8, 8), 1104), (128, (15, 8, 8, 8), 2548), (8, (3, 2), 29)]


def _input(name):
    spec = GOLDEN["inputs"][name]
    n = np.arange(np.prod(spec["shape"])) + 1
    values = spec["offset"] + spec["scale"] * np.sin(spec["freq"] * n)
    return values.reshape(spec["shape"]).astype(np.float32)


@pytest.mark.parametrize(("clips", "counts", "number"), SIZES)
def test_valid_cells(clips, counts, number):
    cells = moment_cells(clips, counts)
    assert len(cells.row) == number
    assert (cells.column - cells.row).max() == clips - 1
    order = cells.row.astype(int) * clips + cells.column
    assert (np.diff(order) > 0).all() and (cells.row <= cells.column).all()


def test_the_diagonals_of_64_clips():
    cells = moment_cells(64, (15, 8, 8))
    offset = cells.column - cells.row
    assert sorted(set(offset)) == [*range(16), *range(17, 32, 2), *range(35, 64, 4)]
    assert not (cells.row[(offset > 15) & (offset < 32)] % 2).any()
    assert not (cells.row[offset >= 32] % 4).any()


@pytest.mark.parametrize(("clips", "counts"), [(16, (14,)), (16, (15, 1)), (0, ()), (3, (-2, 2))])
def test_counts_that_do_not_reach_the_whole_video_are_refused(clips, counts):
    with pytest.raises(ValueError, match=r"the sum of counts\[g\] \* 2\*\*g must be N - 1"):
        moment_cells(clips, counts)


def test_seconds_and_iou_of_cells():
    cells = moment_cells(16, (15,))
    duration = jnp.array([32.0, 64.0])
    start, end = cell_seconds(cells, duration)
    index = {(r, c): i for i, (r, c) in enumerate(zip(cells.row, cells.column, strict=True))}
    assert (start[1, index[2, 5]], end[1, index[2, 5]]) == (8.0, 24.0)
    moment = jnp.array([[[4.0, 8.0], [0.0, 2.0]], [[8.0, 16.0], [8.0, 16.0]]])
    iou = cell_iou(cells, moment, duration)
    assert iou.shape == (2, 2, 136)
    for cell, expected in (((2, 3), 1.0), ((2, 5), 0.5), ((0, 15), 0.125)):
        np.testing.assert_allclose(iou[[0, 1], [0, 1], index[cell]], expected, rtol=1e-6)
    assert iou[0, 1, index[3, 3]] == 0


def test_golden_iou():
    cells = moment_cells(8, (3, 2))
    case = GOLDEN["cases"]["low_iou"]
    iou = cell_iou(cells, jnp.array([case["moments"][0]]), jnp.array(case["duration"][:1]))
    expected = np.array(OUTPUTS["c_iou_loss"]["low_iou"]["iou2d_sentence0"])
    np.testing.assert_allclose(iou[0, 0], expected[cells.row, cells.column], rtol=1e-5, atol=1e-6)


def test_golden_clips_and_map():
    golden = OUTPUTS["a_clips_and_map"]
    video = jax.nn.relu(_input("video") @ _input("fc_w")[..., 0].T + _input("fc_b"))
    clips = pool_clips(video, 8)
    np.testing.assert_allclose(clips, golden["clips"], rtol=1e-4, atol=1e-5)
    cells = moment_cells(8, (3, 2))
    mask = np.zeros((8, 8), bool)
    mask[cells.row, cells.column] = True
    np.testing.assert_array_equal(mask, np.array(golden["mask"], bool))
    rows = jax.jit(lambda clips: span_max(clips, cells))(clips)
    np.testing.assert_allclose(rows, golden["map_valid_cells"], rtol=1e-4, atol=1e-5)
    whole = np.asarray(on_map(rows, cells))
    np.testing.assert_array_equal(whole[:, mask], rows)
    assert not whole[:, ~mask].any()


def test_clips_must_divide_the_steps():
    with pytest.raises(ValueError, match="10 steps cannot be pooled to 4 clips"):
        pool_clips(jnp.zeros((1, 10, 2)), 4)


@pytest.mark.parametrize(("clips", "counts", "_"), [*SIZES, (1, (), 1), (6, (3, 1), 0)])
def test_map_is_the_maximum_of_the_span(clips, counts, _):
    cells = moment_cells(clips, counts)
    video = np.random.default_rng(1).standard_normal((2, clips, 3)).astype(np.float32)
    rows = np.asarray(jax.jit(lambda video: span_max(video, cells))(video))
    for p, (i, j) in enumerate(zip(cells.row, cells.column, strict=True)):
        np.testing.assert_array_equal(rows[:, p], video[:, i : j + 1].max(axis=1))


def test_gradient_of_the_map():
    cells = moment_cells(8, (3, 2))
    video = np.random.default_rng(2).standard_normal((2, 8, 3))
    with jax.enable_x64(True):
        check_gradients(lambda video: span_max(video, cells), (video,))


@pytest.mark.parametrize(
    ("name", "split", "size", "oracle"),
    [
        ("charades_sta", "test", SIZES[0], (100.0, 100.0, 99.6)),
        pytest.param(
            *("activitynet_captions", "val_2", SIZES[1], (99.84, 98.94, 97.34)),
            marks=pytest.mark.slow,  # a further dataset
        ),
    ],
)
def test_oracle_of_the_valid_cells(name, split, size, oracle):
    root = os.environ.get("VMR_DATA_DIR")
    if not root:
        pytest.skip("set VMR_DATA_DIR to the folder of the official annotation files")
    annotations = read_annotations(name, Path(root) / name)
    records = annotations.splits[split]
    moment = np.stack([record.moments[0] for record in records])[:, None]
    duration = np.array([annotations.durations[record.video_id] for record in records])
    cells = moment_cells(*size[:2])
    with jax.enable_x64(True):
        best = np.asarray(cell_iou(cells, jnp.asarray(moment), jnp.asarray(duration)).max(-1))
    hit = 100 * (best >= np.array([0.3, 0.5, 0.7])).mean(axis=0)
    digits = 1 if size[0] == 16 else 2
    np.testing.assert_array_equal(hit.round(digits), oracle)


def test_parts_of_any_number_of_clips_are_means_by_share():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 6, 2)).astype(np.float32)
    found = jax.jit(stretch_clips, static_argnums=2)(x, np.array([6, 5, 1]), 4)
    for item, clips in enumerate((6, 5, 1)):
        fine = np.repeat(x[item, :clips].astype(np.float64), 4, axis=0)  # 4 pieces a clip
        expected = fine.reshape(4, clips, 2).mean(axis=1)
        np.testing.assert_allclose(found[item], expected, rtol=1e-5, atol=1e-6)
    whole = stretch_clips(x, np.full(3, 6), 3)
    np.testing.assert_allclose(whole, pool_clips(x, 3), rtol=1e-6)
    assert not np.asarray(stretch_clips(x, np.zeros(3, np.int32), 4)).any()


def test_span_mean_is_the_mean_over_a_cells_clips():
    cells = moment_cells(8, (3, 2))
    video = np.random.default_rng(0).normal(size=(2, 8, 5))
    found = span_mean(video, cells)
    for p, (i, j) in enumerate(zip(cells.row, cells.column, strict=True)):
        np.testing.assert_allclose(found[:, p], video[:, i : j + 1].mean(axis=1), atol=1e-6)
