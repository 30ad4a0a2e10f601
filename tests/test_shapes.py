"""Annotated shapes are checked in tests and not in the product, and jitted functions stay so."""

import subprocess
import sys

import jax.numpy as jnp
import pytest
from jaxtyping import TypeCheckError

from vmr_jax.decoding.spans import search_spans
from vmr_jax.layers.recurrent import LSTM
from vmr_jax.layers.sequences import masked_mean
from vmr_jax.losses.contrastive import info_nce

ROWS, MASK = jnp.zeros((2, 3, 4)), jnp.ones((2, 3), bool)


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (masked_mean, (ROWS, MASK[:, :2])),
        (masked_mean, (ROWS, MASK.astype(int))),
        (LSTM(4).init, (jnp.zeros(2, jnp.uint32), ROWS[0])),
        (info_nce, (ROWS[:, 0, 0], ROWS[0], MASK, 1.0)),
        (search_spans, (ROWS[..., 0], ROWS[:, 0], MASK, 2)),
    ],
    ids=["layers", "dtype", "module", "losses", "decoding"],
)
def test_a_wrong_shape_or_dtype_is_refused(function, arguments):
    with pytest.raises(TypeCheckError):
        function(*arguments)


def test_the_product_does_not_check():
    code = (
        "import sys, vmr_jax.decoding.corpus_moments, vmr_jax.layers.fusion, vmr_jax.losses.mmd\n"
        "assert 'jaxtyping' in sys.modules and 'beartype' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_checked_function_is_compiled_once():
    search_spans.clear_cache()
    for value in (0.0, 1.0):
        search_spans(ROWS[..., 0] + value, ROWS[..., 0], MASK, 2)
    assert search_spans._cache_size() == 1
