"""What a domain block says of normalisation, and the numbers that follow from a dataset."""

import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.data.batches.test_pairs import dataset
from vmr_jax.data.batches.normalization import (
    NORMALIZATIONS,
    normalization_of,
    normalize_frames,
    standardizing,
)
from vmr_jax.data.tables.statistics import FeatureStatistics, Spread


def test_frames_are_brought_to_length_one():
    frames = np.array([[3e4, 4e4], [0, 0], [1e-3, 0]], np.float16)  # beyond float16 when squared
    assert normalize_frames(frames).dtype == np.float32
    np.testing.assert_allclose(normalize_frames(frames), [[0.6, 0.8], [0, 0], [1, 0]], atol=1e-3)


def test_names_and_older_blocks():
    assert [normalization_of(ConfigDict({"normalize": n})) for n in NORMALIZATIONS] == [
        "none",
        "l2",
        "standardize",
        "sqrt_standardize",
    ]
    older = [ConfigDict(block) for block in ({"l2norm": True}, {"l2norm": False}, {})]
    assert list(map(normalization_of, older)) == ["l2", "none", "none"]
    message = r"normalize is 'zscore'; it must be one of \('none', 'l2', 'standardize', 'sqrt_st"
    with pytest.raises(ValueError, match=message):
        normalization_of(ConfigDict({"normalize": "zscore"}))


def test_a_dimension_that_never_varies_is_left_out():
    toy = dataset()
    raw = Spread(np.array([2.0, 7.0]), np.array([4.0, 0.0]))
    sqrt = Spread(np.array([1.5, -1.0]), np.array([0.5, 2.0]))
    with_statistics = toy.videos._replace(statistics=FeatureStatistics(raw, sqrt))
    toy = toy._replace(videos=with_statistics)
    found = standardizing(toy, "standardize")
    assert found["mean"].dtype == found["scale"].dtype == np.float32
    assert (found["mean"].tolist(), found["scale"].tolist()) == ([2, 7], [0.25, 0])
    found = standardizing(toy, "sqrt_standardize")
    assert (found["mean"].tolist(), found["scale"].tolist()) == ([1.5, -1], [2, 0.5])


def test_without_a_training_split_there_is_nothing_to_standardize_by():
    message = (
        r"normalize='standardize' needs mean and deviation of the training videos, but toy was "
        r"prepared without a training split \(train, train_\.\.\.\): use 'l2' or 'none'"
    )
    with pytest.raises(ValueError, match=message):
        standardizing(dataset(), "standardize")
