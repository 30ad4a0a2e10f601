"""A trained system to draw, and data to draw it on."""

import numpy as np
import pytest
from rich.console import Console

from tests.conftest import small_settings, small_vlanet
from tests.plots.figure_cases import SENTENCE
from vmr_jax.configs import eva
from vmr_jax.data.datasets.records import Annotations, MomentRecord
from vmr_jax.data.sources.features import from_arrays
from vmr_jax.data.tables.build import write_dataset
from vmr_jax.training import loop as train


@pytest.fixture(scope="session")
def workdir(tmp_path_factory, toy_data):
    """The weak branch of a small EVA after its training."""
    workdir = tmp_path_factory.mktemp("run")
    config = eva.get_config("toy_target,toy_target")
    config.update_from_flattened_dict(small_settings(toy_data) | {"branches.full": False})
    train.train(config, workdir, "", Console(quiet=True))
    return workdir


@pytest.fixture(scope="session")
def vlanet_workdir(tmp_path_factory, toy_data):
    """A small VLANet after its training."""
    workdir = tmp_path_factory.mktemp("vlanet")
    train.train(small_vlanet(toy_data), workdir, "", Console(quiet=True))
    return workdir


@pytest.fixture(scope="session")
def other_data(tmp_path_factory):
    """Another toy_target: one long query with odd words and id, and three annotators."""
    data_dir = tmp_path_factory.mktemp("other")
    rng = np.random.default_rng(0)
    moments = np.array([[1, 4], [1, 4], [2, 8.5]], np.float32)
    splits = {"test": [MomentRecord("a/b #1", "v", SENTENCE, moments)]}
    splits["hidden"] = [MomentRecord("h", "v", "a door", moments[:0])]
    features = {"v": rng.normal(size=(7, 8)).astype(np.float32)}
    words = ["a", "person", "opens", "the", "door", "for", "and"]
    vectors = {word: rng.normal(size=6).astype(np.float32) for word in words}
    annotations = Annotations("toy_target", splits, {"v": 8.0}, [], {})
    write_dataset(data_dir, annotations, from_arrays(features), "features", vectors)
    return data_dir
