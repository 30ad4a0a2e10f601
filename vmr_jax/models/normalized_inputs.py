"""A system whose clip features are standardised where they enter it, on the device.

All that shows a system videos goes through its functions: batches of both data paths, evaluation,
prediction, search and figures. So it is done here once, inside of jit, and features are kept as
float16 wherever they are. The numbers that it takes are a part of the parameters, INPUTS, which is
set when a run starts and not trained: a checkpoint holds what its network has seen, and applies it
to any other data.

The order is: frames of a video are averaged to clips (clip_sampling), then x is replaced by
(x - mean) * scale, or sign(x) sqrt(|x|) by the same. The statistics are those of native clips: of
averaged ones the mean is the same but for sqrt, and the deviation is below 1. Padding stays zero.
Subtitles, patches and the features of their frames are not normalised.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from vmr_jax.data.batches.normalization import STANDARDIZED, normalization_of
from vmr_jax.models.description import Specs
from vmr_jax.types import INPUTS, Array, Config, HybridBatch, MomentSystem, Params, System


def with_normalized_inputs(
    system: System, config: Config, trained_on: Sequence[str], specs: Specs
) -> System:
    """The system with the normalisation that the config's domain blocks name.

    What is evaluated is normalised as the domain that was trained last. Raises ValueError for an
    unknown normalisation, and where a run learns from the source alone and names another one for
    the target.
    """
    named = {role: normalization_of(config[role]) for role in {*trained_on, "target"}}
    last = trained_on[-1]
    if named["target"] != named[last]:
        raise ValueError(
            f"config.target.normalize={named['target']!r}, but the run learns from the source "
            f"alone, where it is {named['source']!r}: set both alike"
        )
    modes = {role: named[role] for role in trained_on if named[role] in STANDARDIZED}
    if not modes:
        return system

    def init(key: Array, batch: Any) -> Params:
        """Parameters with room for the statistics, that change nothing yet."""
        widths = {role: specs[role].video_dim for role in modes}
        room = {r: {"mean": jnp.zeros(w), "scale": jnp.ones(w)} for r, w in widths.items()}
        return {**system.init(key, batch), INPUTS: room}

    def shown(function: Callable, role: str = last) -> Callable:
        """A function of videos, whose features are standardised first."""
        return lambda params, videos, *rest: function(
            network_params(params), _standardized(videos, role, params[INPUTS], modes), *rest
        )

    changed = {"init": init, "loss": shown(system.loss)}
    if isinstance(system, MomentSystem):
        changed["predict"] = shown(system.predict)
        if system.predict_source is not None:
            changed["predict_source"] = shown(system.predict_source, "source")
        if system.attention is not None:
            changed["attention"] = shown(system.attention)
    else:
        changed["encode_videos"] = shown(system.encode_videos)
        for name in {"encode_queries", "locate"} & set(system._fields):
            changed[name] = _of_network(getattr(system, name))
    return system._replace(**changed)


def network_params(params: Params) -> dict:
    """The parameters without those of the normalisation."""
    return {name: leaf for name, leaf in params.items() if name != INPUTS}


def standardize(video: Array, mask: Array, mean: Array, scale: Array, mode: str) -> Array:
    """Clips (..., N, F) float32 by `mode` of STANDARDIZED; those off the mask (..., N) are zero."""
    if mode == "sqrt_standardize":
        video = jnp.sign(video) * jnp.sqrt(jnp.abs(video))
    return jnp.where(mask[..., None], (video - mean) * scale, 0)


def _standardized(videos: Any, role: str, inputs: Params, modes: Mapping[str, str]) -> Any:
    """A batch, or Videos, of a role; of both roles where it is a HybridBatch."""
    if isinstance(videos, HybridBatch):
        halves = videos._asdict().items()
        return HybridBatch(**{r: _standardized(half, r, inputs, modes) for r, half in halves})
    if role not in modes:
        return videos
    clips = jnp.asarray(videos.video)
    return videos._replace(
        video=standardize(clips, videos.video_mask, **inputs[role], mode=modes[role])
    )


def _of_network(function: Callable) -> Callable:
    """A function that reads no videos."""
    return lambda params, *rest: function(network_params(params), *rest)
