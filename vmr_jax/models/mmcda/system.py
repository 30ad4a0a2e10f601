"""MMCDA, derived from the abstract of Fang, Liu, Zhou, Hu (IEEE TMM 2022), as a System.

A span localizer is learnt on a labelled source. On an unlabelled target its features are drawn
to the source's (domain alignment), videos and queries meet in a joint space (cross-modal
alignment), and clips are told apart by their similarity with the query (specific alignment). Not
a reproduction: the paper's equations are not public to this project, docs/papers/mmcda.md has ours.
"""

import functools
from collections.abc import Mapping
from typing import cast

import jax.numpy as jnp

from vmr_jax.decoding.ranking import rank_moments
from vmr_jax.layers.clip_spans import spans_to_seconds
from vmr_jax.layers.moment_map import Cells, map_cells
from vmr_jax.models.description import OPTIONAL_KEYS, Description
from vmr_jax.models.mmcda import losses
from vmr_jax.models.mmcda.localizers import candidates
from vmr_jax.models.mmcda.network import MMCDA, Views
from vmr_jax.models.mmcda.switches import RANGES, check, check_specs, has_joint_space
from vmr_jax.models.statistics import as_params, as_variables
from vmr_jax.types import (
    Array,
    AttentionMap,
    Batch,
    Config,
    DataSpec,
    HybridBatch,
    Moments,
    MomentSystem,
    Params,
)


def build(config: Config, specs: Mapping[str, DataSpec]) -> MomentSystem:
    """Build MMCDA for batches of the sizes in `specs`, one DataSpec a domain.

    Raises ValueError for a switch with an unknown value, for switches that contradict each other,
    and for domains of different feature sizes.
    """
    trained_on = domains(config)
    check_specs(config, specs)
    network = MMCDA(config)
    loss = losses.cross_domain_loss if len(trained_on) == 2 else losses.supervised_loss
    return MomentSystem(
        init=functools.partial(_init, network),
        loss=functools.partial(loss, network),
        predict=functools.partial(_predict, network, "target"),
        predict_source=functools.partial(_predict, network, "source"),
        attention=functools.partial(_attention, network) if has_joint_space(config) else None,
    )


def domains(config: Config) -> tuple[str, ...]:
    """The domains that a run of `config` trains on. Raises ValueError for a bad switch."""
    check(config)
    return ("target",) if config.supervision == "target" else ("source", "target")


def chooser(config: Config) -> str:
    """The domain whose labels may choose a checkpoint: the one whose labels are learnt."""
    return config.supervision


def moment_map(config: Config) -> Cells | None:
    """The cells that are ranked with base=map2d; else None."""
    return map_cells(config.map) if config.base == "map2d" else None


def _init(network: MMCDA, key: Array, batch: Batch | HybridBatch) -> Params:
    """Fresh parameters of all modules that the switches leave on."""
    batches = batch._asdict() if isinstance(batch, HybridBatch) else {"target": batch}
    return as_params(network.init(key, batches, method="every_part"))


def _predict(network: MMCDA, role: str, params: Params, batch: Batch) -> Moments:
    """The best moments by their scores (MMCDA M11), after NMS."""
    views = cast(Views, network.apply(as_variables(params), batch, role, train=False))
    found = candidates(network.config, views, batch)
    span, settings = (found.first, found.last + 1), network.config.eval
    return rank_moments(*span, found.score, found.units, batch.duration, settings)


def _attention(network: MMCDA, params: Params, batch: Batch) -> AttentionMap:
    """s of each clip, and what each word adds to it."""
    variables = as_variables(params)
    views = cast(Views, network.apply(variables, batch, "target", train=False))
    words = cast(Array, network.apply(variables, batch, views, method="word_parts"))
    clip = jnp.arange(batch.video.shape[1])
    start, end = spans_to_seconds(clip, clip + 1, batch.num_clips, batch.duration)
    return AttentionMap(start, end, batch.video_mask, views.similarity, words)


SYSTEM = Description(
    name="mmcda",
    title="MMCDA, derived from the abstract",
    paper="the abstract of Fang, Liu, Zhou, Hu; IEEE TMM 2022",
    supervision="boundaries in the source, pairs in the target",
    kind="moments",
    build=build,
    domains=domains,
    epoch="largest",
    readout=("infer",),
    reads=OPTIONAL_KEYS,
    ranges=RANGES,
    words_show="similarity of clip and word",
    chooser=chooser,
    moment_map=moment_map,
)
