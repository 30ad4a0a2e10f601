"""Transformer layers: the first rows of a result alone."""

import jax
import numpy as np
import pytest

from tests.first_parameters import init
from vmr_jax.layers.transformer import TransformerLayer


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("masked", [True, False])
def test_the_first_rows_alone_are_those_of_all(pre_norm, masked):
    layer = TransformerLayer(8, 2, 16, jax.nn.relu, pre_norm, 1e-5)
    x = np.random.default_rng(0).standard_normal((2, 5, 8)).astype(np.float32)
    mask = np.tril(np.ones((1, 1, 5, 5), bool)) if masked else np.ones((1, 1, 1, 1), bool)
    params = init(layer, x, mask, None)
    run = jax.jit(lambda rows: layer.apply(params, x, mask, None, rows)[0], static_argnums=0)
    whole, first = run(None), run(2)
    assert whole.shape == (2, 5, 8) and first.shape == (2, 2, 8)
    np.testing.assert_allclose(first, whole[:, :2], atol=1e-5)
