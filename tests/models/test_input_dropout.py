"""A system learns from inputs some of whose features are left out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ml_collections import ConfigDict

from vmr_jax.models.input_dropout import with_input_dropout
from vmr_jax.types import Batch, CandidateBatch, HybridBatch, MomentSystem, VideoBatch

KEY = jax.random.key(0)
SYSTEM = MomentSystem(
    init=lambda key, batch: {},
    loss=lambda params, batch, key, progress: (batch, key),
    predict=lambda params, batch: batch,
)
VIDEO, WORDS = np.ones((200, 3, 50), np.float32), np.ones((200, 4, 30), np.float32)


def config(clips=0.0, words=0.0, **source):
    block = {"feature_dropout": clips, "query_dropout": words}
    return ConfigDict({"target": block, "source": block | source})


def batch(form=Batch, **fields):
    shown = {"video": VIDEO, "tokens" if form is VideoBatch else "query": WORDS} | fields
    return form(**(dict.fromkeys(form._fields) | shown))


def seen(settings, shown, roles=("target",), key=KEY):
    made = with_input_dropout(SYSTEM, settings, roles)
    return jax.jit(lambda key: made.loss({}, shown, key, None)[0])(key)


@pytest.mark.parametrize("form", [Batch, VideoBatch])
def test_whole_features_are_left_out_and_the_others_scaled(form):
    found = seen(config(0.5, 0.2), batch(form))
    words = found.tokens if form is VideoBatch else found.query
    for rows, rate in ((found.video, 0.5), (words, 0.2)):
        rows = np.asarray(rows)
        assert (rows == rows[:, :1]).all()
        np.testing.assert_allclose(np.unique(rows), [0, 1 / (1 - rate)], rtol=1e-6)
        assert abs((rows == 0).mean() - rate) < 0.02
        assert len(np.unique(rows[:, 0], axis=0)) > 0.9 * len(rows)  # each pair its own


def test_candidates_have_their_own_features():
    found = seen(config(0.5), batch(CandidateBatch, video=np.ones((5, 6, 3, 40), np.float32)))
    assert len(np.unique(np.asarray(found.video)[:, :, 0].reshape(30, 40), axis=0)) == 30


def test_each_role_has_its_rates():
    shown = HybridBatch(batch(), batch())
    found = seen(config(0.5, feature_dropout=0.0), shown, ("source", "target"))
    np.testing.assert_array_equal(found.source.video, VIDEO)
    assert (np.asarray(found.target.video) == 0).any()
    found = seen(config(0.5), shown, ("source", "target"))
    assert (np.asarray(found.source.video) != np.asarray(found.target.video)).any()


def test_another_step_drops_others_and_no_rate_changes_nothing():
    one, other = (seen(config(0.5), batch(), key=key).video for key in jax.random.split(KEY))
    assert (one != other).any()
    assert with_input_dropout(SYSTEM, config(), ("target",)) is SYSTEM
    assert with_input_dropout(SYSTEM, config(0.5), ("target",)).predict is SYSTEM.predict


def test_the_systems_own_key_stays():
    made = with_input_dropout(SYSTEM, config(0.5), ("target",))
    assert made.loss({}, batch(), KEY, None)[1] is KEY


def test_bad_rates_and_token_ids_are_refused():
    with pytest.raises(ValueError, match=r"config.target.feature_dropout=1.0: use a rate"):
        with_input_dropout(SYSTEM, config(1.0), ("target",))
    ids = batch(VideoBatch, tokens=jnp.ones((200, 4), jnp.int32))
    with pytest.raises(ValueError, match="reads token ids"):
        seen(config(0.0, 0.2), ids)
