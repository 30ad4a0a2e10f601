"""MMN on stored features of the queries' tokens, in the place of a text encoder."""

import jax
import mmn_cases as cases
import numpy as np
import pytest

from tests.conftest import small_mmn, small_vdi
from vmr_jax import models
from vmr_jax.data.batches.data_paths import gather_batch, load_tables, read_batch
from vmr_jax.data.batches.pairs import VideoIndex
from vmr_jax.datasets import training_domains
from vmr_jax.models.mmn.network import MMN
from vmr_jax.training.mesh import make_mesh
from vmr_jax.types import DataSpec

INDEX = VideoIndex(
    video=np.array([1, 0], np.int32),
    weight=np.ones(2, np.float32),
    query=np.array([2, 3, 0], np.int32),
    owner=np.array([0, 0, 1], np.int32),
    query_weight=np.ones(3, np.float32),
)


@pytest.fixture
def stored(toy_data):
    config = small_mmn(toy_data)
    config.text.encoder, config.target.query_features = "features", "tokens"
    return config


def test_both_data_paths_show_the_stored_features(stored):
    domain = training_domains(stored, ("target",), "target")["target"]
    table, vectors = domain.table, domain.dataset.query_vectors
    batch = read_batch(domain, INDEX)
    gathered = gather_batch(load_tables(domain, make_mesh()), INDEX)
    assert batch.tokens.shape == (3, stored.target.max_words, 7)
    for row, query in enumerate(INDEX.query):
        first, count = table.tokens[query]
        np.testing.assert_array_equal(batch.tokens[row, :count], vectors[first : first + count])
        assert batch.token_mask[row].sum() == count
    np.testing.assert_array_equal(gathered.tokens, batch.tokens)


def test_a_sentence_is_the_mean_of_its_tokens_and_padding_changes_nothing():
    network = MMN(cases.config(text__encoder="features"), cases.SPEC.video_dim, 0, word_dim=7)
    tokens = np.random.default_rng(0).normal(size=(3, 5, 7)).astype(np.float16)
    mask = np.arange(5) < np.array([[5], [2], [1]])
    padded = np.concatenate([tokens, np.full((3, 2, 7), 9, np.float16)], axis=1)
    found = network.apply({}, padded, np.pad(mask, ((0, 0), (0, 2))), method="sentences")
    expected = [
        rows[kept].astype(np.float64).mean(0) for rows, kept in zip(tokens, mask, strict=True)
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_no_encoder_has_parameters():
    config = cases.config(text__encoder="features")
    made = models.make(config, {"target": DataSpec(cases.SPEC.video_dim, 7, 16, 6)})
    batch = cases.batch()
    batch = batch._replace(tokens=np.zeros((*batch.tokens.shape, 7), np.float32))
    params = jax.eval_shape(made.init, jax.random.key(0), batch)
    assert "text_encoder" not in params
    assert params["query_iou"]["kernel"].shape == (7, 6)


def test_a_run_without_stored_features_is_refused(stored):
    stored.target.query_features = ""
    with pytest.raises(ValueError, match="query_features=NAME"):
        training_domains(stored, ("target",), "target")


def test_the_injections_have_no_parts_of_stored_sentences(toy_data):
    config = small_vdi(toy_data)
    config.text.encoder = "features"
    with pytest.raises(ValueError, match="of which no features are stored"):
        models.of(config).domains(config)
