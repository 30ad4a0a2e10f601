"""PREM's localizer, which finds the moment in the videos that were retrieved, as a System.

It learns from queries with C videos each, of which the first is the true one. Source: Hou et al.,
ICMR 2024, section 3.4.
"""

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import cast

import jax
import jax.numpy as jnp

from vmr_jax.decoding.spans import Spans, search_spans
from vmr_jax.layers.clip_spans import seconds_to_clips
from vmr_jax.losses.relevant_content import REDUCTIONS, relevant_content_loss
from vmr_jax.models.description import Description
from vmr_jax.models.prem.localizer_losses import overlapping_spans, shared_norm_loss
from vmr_jax.models.prem.localizer_network import (
    HEADS,
    Located,
    PremLocalizer,
    QueryCode,
    VideoCode,
)
from vmr_jax.models.prem.switches import RANGES, check_config, check_spec
from vmr_jax.models.switches import check_edges
from vmr_jax.types import (
    Array,
    CandidateBatch,
    Config,
    DataSpec,
    Localizer,
    Losses,
    Params,
    Progress,
    Queries,
    Term,
    Videos,
)

_NEGATIVES = 5  # spans of each negative video
_CHOICES = {
    "gate": ("l2", "sigmoid", "none"),
    "head": tuple(HEADS),
    "lc.reduction": REDUCTIONS,
}


def build(config: Config, specs: Mapping[str, DataSpec]) -> Localizer:
    """Build the localizer for batches of the sizes in `specs["target"]`.

    Raises ValueError for a switch with an unknown value, and for missing subtitles.
    """
    spec = specs["target"]
    check_spec(config, spec)
    network = PremLocalizer(config, spec.max_clips, spec.max_words)
    return Localizer(
        init=lambda key, batch: network.init(key, batch)["params"],
        loss=functools.partial(_loss, network, config),
        encode_videos=functools.partial(_encode_videos, network),
        encode_queries=functools.partial(_encode_queries, network),
        locate=functools.partial(_locate, network),
    )


def domains(config: Config) -> tuple[str, ...]:
    """The only domain is the target. Raises ValueError for a bad switch."""
    check_config(config, _CHOICES)
    check_edges(config)
    lengths = config.infer
    if not 0 <= lengths.min_l <= lengths.max_l or lengths.min_l >= config.target.max_clips:
        raise ValueError(
            f"config.infer.min_l={lengths.min_l} and max_l={lengths.max_l} leave no segment of "
            f"config.target.max_clips={config.target.max_clips} clips: use 0 <= min_l <= max_l, "
            "and min_l < max_clips."
        )
    counts = {
        "negatives": config.negatives,
        "lc.max_pos": config.lc.max_pos,
        "first.top": config.first.top,
        "first.retrieve": config.first.retrieve,
        "infer.keep": lengths.keep,
    }
    for name, value in counts.items():
        if value < 1:
            raise ValueError(f"config.{name}={value}: use at least 1.")
    return ("target",)


def first_run(config: Config) -> Config | None:
    """The retriever to train on the same data, or None where there is a first stage."""
    if config.first.checkpoint or config.first.scores_file:
        return None
    first = Config(config.first.retriever.to_dict())
    for name in ("target", "data_dir", "seed", "precision", "select"):
        first[name] = config[name]
    first.data.residency = config.data.residency
    return first


def located(config: Config, first_workdir: Path) -> Config:
    """The config with the workdir of that retriever."""
    if first_run(config) is None:
        return config
    found = config.copy_and_resolve_references()
    found.first.checkpoint = str(first_workdir)
    return found


def _loss(
    network: PremLocalizer,
    config: Config,
    params: Params,
    batch: CandidateBatch,
    key: Array,
    progress: Progress,
) -> Losses:
    """PREM, Eq. 11: L^st + L^ed, and L^c times its weight."""
    del progress
    located = cast(Located, network.apply({"params": params}, batch, key))
    clips = batch.num_clips[:, 0]
    span = seconds_to_clips(batch.moment, clips, config.clip_seconds, config.end_label)
    boundaries = shared_norm_loss(
        located.start, located.end, span, batch.video_mask, batch.weight, config.shared_norm
    )
    terms = {"boundary": boundaries}
    if located.content is not None:
        terms["relevant_content"] = _content(
            network, config, params, batch, span, located, located.content
        )
    return Losses(terms, {})


def _content(
    network: PremLocalizer,
    config: Config,
    params: Params,
    batch: CandidateBatch,
    span: Array,
    located: Located,
    content: Array,
) -> Term:
    """L^c (PREM, section 3.4) times its weight: (weighted sum, sum of weights)."""
    items, videos, clips = located.start.shape
    settings, lengths = config.lc, config.infer
    positives = overlapping_spans(span, batch.num_clips[:, 0], clips, settings.max_pos)
    others = [x[:, 1:] for x in (located.start, located.end, batch.video_mask)]
    negatives = search_spans(
        *others, most=_NEGATIVES, shortest=lengths.min_l, longest=lengths.max_l
    )
    each = Spans(*(x.reshape(items * (videos - 1), -1) for x in negatives))

    def score(rows: Array, spans: Spans, longest: int) -> Array:
        found = network.apply({"params": params}, rows, spans, longest, method="segment_logits")
        return cast(Array, found)

    in_others = content[:, 1:].reshape(items * (videos - 1), clips, -1)
    total, count = relevant_content_loss(
        score(content[:, 0], positives, clips),
        positives.valid,
        score(in_others, each, min(lengths.max_l + 1, clips)).reshape(items, -1),
        negatives.valid.reshape(items, -1),
        batch.weight,
        settings.reduction,
    )
    return settings.weight * total, count


def _encode_videos(network: PremLocalizer, params: Params, videos: Videos) -> VideoCode:
    code = network.apply({"params": params}, videos, method="encode_videos")
    return _float32(cast(VideoCode, code))


def _encode_queries(network: PremLocalizer, params: Params, queries: Queries) -> QueryCode:
    found = network.apply({"params": params}, queries, method="encode_queries")
    code = cast(QueryCode, found)
    return code._replace(memory=_float32(code.memory))


def _locate(
    network: PremLocalizer, params: Params, query: QueryCode, video: VideoCode, mask: Array
) -> tuple[Array, Array]:
    found = network.apply({"params": params}, query, video, mask, method="locate")
    return cast(tuple[Array, Array], found)


def _float32(code):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), code)


SYSTEM = Description(
    name="prem_localizer",
    paper="Hou et al., ICMR 2024",
    supervision="boundaries",
    kind="localizer",
    batch="candidates",
    build=build,
    domains=domains,
    selected_by="VCMR/R@1,IoU=0.7",
    readout=("first", "infer", "score"),
    reads=("precision",),
    ranges=RANGES,
    subtitles=True,
    first_run=first_run,
    located=located,
)
