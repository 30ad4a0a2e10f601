"""A system that learns from inputs some of whose features are left out, where a config asks for it.

Of a pair whole features of the clips are dropped, `feature_dropout`, and of the query's tokens,
`query_dropout`: a feature that is left out of one clip of a video is left out of all. So no
system can lean on single features of a small training set, and what it averages over clips is as
noisy as one clip. It happens in the loss alone, after the normalisation; rates of 0, the papers',
leave a system as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from vmr_jax.layers.sequences import feature_dropout
from vmr_jax.types import (
    Array,
    Config,
    HybridBatch,
    Losses,
    Params,
    Progress,
    System,
    VideoBatch,
)

RATES = ("feature_dropout", "query_dropout")
_KEY = 2**31 - 1  # folded into a step's key, of which systems split their own


def with_input_dropout(system: System, config: Config, trained_on: Sequence[str]) -> System:
    """The system with the rates that the domain blocks of its training domains name.

    Raises ValueError for a rate outside of [0, 1), and where token ids should be dropped.
    """
    rates = {role: tuple(config[role].get(name, 0.0) for name in RATES) for role in trained_on}
    for role, pair in rates.items():
        for name, rate in zip(RATES, pair, strict=True):
            if not 0 <= rate < 1:
                raise ValueError(f"config.{role}.{name}={rate}: use a rate from 0 to below 1.")
    if not any(map(any, rates.values())):
        return system

    def loss(params: Params, batch: Any, key: Array, progress: Progress) -> Losses:
        dropped = _dropped(batch, trained_on[-1], rates, jax.random.fold_in(key, _KEY))
        return system.loss(params, dropped, key, progress)

    return system._replace(loss=loss)


def _dropped(batch: Any, role: str, rates: Mapping[str, tuple[float, float]], key: Array) -> Any:
    """A batch of a role without the features that a key chooses; of both roles if Hybrid."""
    if isinstance(batch, HybridBatch):
        keys = dict(zip(batch._fields, jax.random.split(key), strict=True))
        halves = batch._asdict().items()
        return HybridBatch(**{r: _dropped(half, r, rates, keys[r]) for r, half in halves})
    of_clips, of_words = rates[role]
    video_key, word_key = jax.random.split(key)
    batch = batch._replace(video=_without(batch.video, of_clips, video_key))
    words = "tokens" if isinstance(batch, VideoBatch) else "query"
    if not of_words:
        return batch
    shown = getattr(batch, words)
    if shown.ndim == 2:
        raise ValueError(
            f"config.{role}.query_dropout={of_words}: this system reads token ids, which have no "
            "features to leave out; use 0."
        )
    return batch._replace(**{words: _without(shown, of_words, word_key)})


def _without(rows: Any, rate: float, key: Array) -> Array:
    """Rows (..., N, F) without some of their features."""
    rows = jnp.asarray(rows)
    flat = rows.reshape(-1, *rows.shape[-2:])
    return feature_dropout(key, flat, rate).reshape(rows.shape)
