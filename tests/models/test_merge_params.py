import numpy as np
import pytest

from vmr_jax.models.merge_params import merge_params


def test_leaves_are_taken_by_path_and_the_rest_is_left_out():
    params = {"a": {"kernel": np.zeros((2, 3))}}
    restored = {"a": {"kernel": np.ones((2, 3))}, "b": {"kernel": np.ones(1)}}
    np.testing.assert_array_equal(merge_params(params, restored)["a"]["kernel"], np.ones((2, 3)))


def test_every_misfit_is_listed():
    params = {"a": {"kernel": np.zeros((2, 3)), "bias": np.zeros(3)}, "c": np.zeros(1)}
    restored = {"a": {"kernel": np.ones((2, 4)), "bias": np.ones(3)}}
    with pytest.raises(ValueError, match="do not fit this model") as error:
        merge_params(params, restored)
    assert "a/kernel: restored with shape (2, 4), needed (2, 3)" in str(error.value)
    assert "c: not among the restored parameters" in str(error.value)
    assert "bias" not in str(error.value)
