"""Batches on their way to the step, from the device's tables and streamed from the disk."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vmr_jax.configs import common
from vmr_jax.datasets import training_domains
from vmr_jax.training.input_pipeline import make_input_pipeline
from vmr_jax.training.logs import make_console
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.state import abstract_state, first_state, state_maker
from vmr_jax.types import Losses, MomentSystem


def candidate_config(data_dir, residency):
    """A run on candidates with subtitles and query features."""
    config = common.run()
    config.target = common.domain_block("toy_target", labels=True)
    config.target.update(
        {
            "features": "features",
            "subtitles": "subtitles",
            "query_features": "tokens",
            "max_clips": 12,
            "max_words": 6,
            "clip_sampling": "cut",
        }
    )
    config.update({"data_dir": str(data_dir), "batch_size": 8, "epochs": 2, "negatives": 2})
    config.data.update({"residency": residency, "threads": 2, "prefetch": 2})
    config.system = "sums"
    return config


def sums_of_batches() -> MomentSystem:
    """A system whose loss tells what is in a batch, and that trains on it."""

    def loss(params, batch, key, progress):
        assert {leaf.dtype.name for leaf in jax.tree.leaves(batch)} <= {"float32", "int32", "bool"}
        parts = {
            "video": jnp.where(batch.video_mask[..., None], batch.video, 0).sum((2, 3)),
            "sub": jnp.square(batch.sub).sum((2, 3)),
            "query": jnp.square(batch.query).sum((1, 2))[:, None],
            "id": batch.video_id * jnp.arange(1, 4),
        }
        count = batch.weight.sum()
        terms = {name: (params["w"] * part.sum(), count) for name, part in parts.items()}
        return Losses(terms, {})

    return MomentSystem(lambda key, batch: {"w": jnp.ones(())}, loss, lambda *_: None)


def test_candidates_give_the_same_run_on_both_paths(toy_data):
    mesh, system, optimizer = make_mesh(), sums_of_batches(), optax.sgd(1e-4)
    seen = {}
    for residency in ("device", "host"):
        config = candidate_config(toy_data, residency)
        domain = training_domains(config, ["target"])["target"]
        ranked = np.argsort(np.random.default_rng(0).random((48, 24)), axis=1)
        ranked = np.array([r[r != v][:6] for r, v in zip(ranked, domain.pairs.video, strict=True)])
        domain = domain._replace(candidates=ranked.astype(np.int32))
        feed = make_input_pipeline(config, "candidates", {"target": domain}, mesh, make_console())
        assert feed.pace == (6, 2)
        shapes = jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype.name), feed.example)
        assert shapes.video == ((8, 3, 12, 8), "float32")
        assert shapes.sub == ((8, 3, 12, 5), "float32")
        assert shapes.query == ((8, 6, 7), "float32") and shapes.moment == ((8, 2), "float32")
        maker = state_maker(system, optimizer, feed.example, 0)
        state = first_state(maker, abstract_state(maker, mesh))
        advance = feed.make_advance(system, lambda _: optimizer, state)
        state, metrics = advance(state, 0, 7)
        seen[residency] = jax.device_get((state.params, metrics))
    jax.tree.map(
        lambda left, right: np.testing.assert_allclose(left, right, rtol=1e-5), *seen.values()
    )
    assert len(set(seen["host"][1]["id"].tolist())) == 7


def test_candidates_must_have_been_ranked(toy_data):
    config = candidate_config(toy_data, "host")
    domains = training_domains(config, ["target"])
    with pytest.raises(ValueError, match="sums trains on other videos .* the target has none"):
        make_input_pipeline(config, "candidates", domains, make_mesh(), make_console())
