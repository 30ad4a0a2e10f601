"""The doctor's line on the numbers of the features."""

import numpy as np

from vmr_jax.data.prepare.feature_sample import describe_numbers
from vmr_jax.data.sources.features import from_arrays


def test_the_line_has_the_right_values():
    rows = np.array([[3, 4, 0, 7], [4, 3, 0, 7], [0, 0, 0, 7], [0, 1, 0, 7]], np.float32)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[np.triu_indices(4, 1)]
    wanted = (
        f"features, by 4 sampled rows: mean cosine of two {cosines.mean():.3f}, 43.8 % zeros, "
        "2 of 4 dimensions dead"
    )
    assert describe_numbers(from_arrays({"a": rows[:3], "b": rows[3:]})) == wanted


def test_rows_without_a_length_have_no_cosine():
    rows = {"a": np.array([[0, 0], [0, 2]]), "b": np.array([[0, 5], [0, 1]])}
    line = describe_numbers(from_arrays(rows))
    assert line.endswith("mean cosine of two 1.000, 62.5 % zeros, 1 of 2 dimensions dead")
    line = describe_numbers(from_arrays({"a": np.zeros((3, 2))}))
    assert line.endswith("mean cosine of two –, 100.0 % zeros, 2 of 2 dimensions dead")


def test_many_rows_are_sampled_by_a_seed():
    rng = np.random.default_rng(0)
    source = from_arrays({f"v{n}": rng.normal(5, 1, (20, 8)) for n in range(300)})
    line = describe_numbers(source)
    assert line.startswith("features, by 2,048 sampled rows: mean cosine of two 0.96")
    assert line.endswith(", 0.0 % zeros, 0 of 8 dimensions dead")
    assert line == describe_numbers(source) != describe_numbers(source, seed=1)


def test_what_cannot_be_read_is_left_out():
    arrays = {"a": np.ones((2, 2)), "b": np.full((2, 2), np.nan), "c": np.ones((0, 2))}
    source = from_arrays(arrays | {"d": np.ones(3)})
    assert describe_numbers(source).startswith(
        "features, by 2 sampled rows: mean cosine of two 1.0"
    )
    assert describe_numbers(from_arrays({"b": arrays["b"]})) == ""


def test_patches_are_rows_too():
    source = from_arrays({"a": np.ones((2, 4, 3))}, patches=True)
    assert "by 8 sampled rows" in describe_numbers(source)
