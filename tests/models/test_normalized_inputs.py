"""A system sees standardised clips, whatever shows them to it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from tests.data.batches.test_pairs import dataset, settings
from vmr_jax.data.batches import data_paths
from vmr_jax.data.batches.domain import make_domain
from vmr_jax.data.batches.pairs import PairIndex
from vmr_jax.models.normalized_inputs import with_normalized_inputs
from vmr_jax.training.mesh import make_mesh
from vmr_jax.types import INPUTS, DataSpec, HybridBatch, Localizer, MomentSystem, Retriever, Videos

WIDTH = 6
SPECS = dict.fromkeys(("source", "target"), DataSpec(WIDTH, 4, 5, 4))
RNG = np.random.default_rng(0)


def _shows(params, videos, *_):
    assert set(params) == {"w"}
    return videos.video


MOMENTS = MomentSystem(
    init=lambda key, batch: {"w": jnp.ones(())},
    loss=lambda params, batch, *_: (
        [_shows(params, half) for half in batch]
        if isinstance(batch, HybridBatch)
        else _shows(params, batch)
    ),
    predict=_shows,
    predict_source=_shows,
    attention=_shows,
)


def config(target="none", source="none"):
    return ConfigDict({"target": {"normalize": target}, "source": {"normalize": source}})


def parameters():
    """Other statistics for each role."""
    draw = lambda: jnp.asarray(RNG.uniform(0.5, 2, WIDTH), jnp.float32)  # noqa: E731
    inputs = {role: {"mean": draw(), "scale": draw()} for role in ("source", "target")}
    return {"w": jnp.ones(()), INPUTS: inputs}


def videos():
    """Three videos of which 5, 2 and 0 clips are there; padding is not zero."""
    mask = np.arange(5) < np.array([[5], [2], [0]])
    return Videos(RNG.normal(size=(3, 5, WIDTH)).astype(np.float32), mask)


def expected(shown, statistics, mode):
    """In float64."""
    x = shown.video.astype(np.float64)
    if mode == "sqrt_standardize":
        x = np.where(x < 0, -1, 1) * np.sqrt(np.abs(x))
    mean, scale = (np.asarray(statistics[name], np.float64) for name in ("mean", "scale"))
    return np.where(shown.video_mask[..., None], (x - mean) * scale, 0)


@pytest.mark.parametrize("mode", ["standardize", "sqrt_standardize"])
def test_every_function_of_videos_sees_them_standardized(mode):
    made = with_normalized_inputs(MOMENTS, config(mode, mode), ("source", "target"), SPECS)
    params, shown = parameters(), videos()
    right = {role: expected(shown, params[INPUTS][role], mode) for role in SPECS}
    for found in (made.predict(params, shown), made.attention(params, shown)):
        np.testing.assert_allclose(found, right["target"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        made.predict_source(params, shown), right["source"], rtol=1e-5, atol=1e-6
    )
    halves = made.loss(params, HybridBatch(shown, shown), None, None)
    for role, found in zip(("source", "target"), halves, strict=True):
        np.testing.assert_allclose(found, right[role], rtol=1e-5, atol=1e-6)
        assert not np.asarray(found)[~shown.video_mask].any()


def test_padding_reaches_nothing():
    made = with_normalized_inputs(MOMENTS, config("standardize"), ("target",), SPECS)
    params, shown = parameters(), videos()
    longer = Videos(*(np.concatenate([x, 9 * np.ones_like(x[:, :2])], 1) for x in shown[:2]))
    longer = longer._replace(video_mask=np.arange(7) < shown.video_mask.sum(1)[:, None])
    found, padded = (np.asarray(made.predict(params, x)) for x in (shown, longer))
    np.testing.assert_array_equal(padded[:, :5], found)
    assert not padded[:, 5:].any()


def test_one_role_alone_may_be_standardized():
    made = with_normalized_inputs(MOMENTS, config("l2", "standardize"), ("source", "target"), SPECS)
    params, shown = parameters(), videos()
    source, target = made.loss(params, HybridBatch(shown, shown), None, None)
    np.testing.assert_array_equal(target, shown.video)
    np.testing.assert_array_equal(made.predict(params, shown), shown.video)
    right = expected(shown, params[INPUTS]["source"], "standardize")
    np.testing.assert_allclose(source, right, rtol=1e-5, atol=1e-6)
    assert set(made.init(None, None)[INPUTS]) == {"source"}


def test_what_learns_from_the_source_shows_the_target_in_the_same_way():
    both = config("standardize", "standardize")
    made = with_normalized_inputs(MOMENTS, both, ("source",), SPECS)
    params, shown = parameters(), videos()
    right = expected(shown, params[INPUTS]["source"], "standardize")
    np.testing.assert_allclose(made.predict(params, shown), right, rtol=1e-5, atol=1e-6)
    message = (
        "config.target.normalize='none', but the run learns from the source alone, where it is "
        "'standardize': set both alike"
    )
    with pytest.raises(ValueError, match=message):
        with_normalized_inputs(MOMENTS, config("none", "standardize"), ("source",), SPECS)


def test_systems_of_a_corpus_encode_standardized_videos():
    asked = lambda params, queries: (sorted(params), queries)  # noqa: E731
    retriever = Retriever(MOMENTS.init, MOMENTS.loss, _shows, asked)
    locate = lambda params, *codes: (sorted(params), codes)  # noqa: E731
    localizer = Localizer(MOMENTS.init, MOMENTS.loss, _shows, asked, locate)
    params, shown = parameters(), videos()
    right = expected(shown, params[INPUTS]["target"], "standardize")
    for system in (retriever, localizer):
        made = with_normalized_inputs(system, config("standardize"), ("target",), SPECS)
        found = made.encode_videos(params, shown)
        np.testing.assert_allclose(found, right, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(made.loss(params, shown, None, None), found)
        assert made.encode_queries(params, "queries") == (["w"], "queries")
    assert made.locate(params, 1, 2, 3) == (["w"], (1, 2, 3))


@pytest.mark.parametrize("normalize", ["none", "l2"])
def test_a_system_that_needs_no_statistics_stays_as_it_is(normalize):
    c = config(normalize, normalize)
    assert with_normalized_inputs(MOMENTS, c, ("source", "target"), SPECS) is MOMENTS


@pytest.mark.parametrize("mode", ["standardize", "sqrt_standardize"])
def test_both_data_paths_are_standardized_to_the_same_bits(mode):
    domain = make_domain(dataset(), "train", settings(clip_sampling="uniform"))
    made = with_normalized_inputs(MOMENTS, config(mode), ("target",), SPECS)
    params, index = parameters(), PairIndex(np.array([3, 0, 1], np.int32), np.ones(3, np.float32))
    tables = data_paths.load_tables(domain, make_mesh())

    @jax.jit
    def resident(tables, indices):
        predict = lambda _, index: (0, made.predict(params, data_paths.gather_batch(tables, index)))  # noqa: E731
        return jax.lax.scan(predict, 0, indices)[1][0]

    streamed = data_paths.read_batch(domain, index)
    assert streamed.video.dtype == tables.videos.video.dtype == np.float16
    on_host = jax.jit(made.predict)(params, streamed._replace(video=jnp.float32(streamed.video)))
    gathered = resident(tables, jax.tree.map(lambda rows: rows[None], index))
    np.testing.assert_array_equal(np.asarray(on_host), np.asarray(gathered))
    assert np.asarray(on_host).any()
