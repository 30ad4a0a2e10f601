"""What both systems are made of: their switches, loss and prediction.

Equations and choices: docs/papers/moment_detr.md.
"""

import functools
from collections.abc import Mapping
from typing import cast

import jax
import jax.numpy as jnp

from vmr_jax.decoding.ranking import rank_moments
from vmr_jax.models.description import OPTIONAL_KEYS, Description
from vmr_jax.models.detr.losses import (
    draw_pairs,
    label_loss,
    negative_loss,
    pair_loss,
    ranking_loss,
    span_losses,
)
from vmr_jax.models.detr.matching import edges_of, match, matching_cost, span_of
from vmr_jax.models.detr.network import DETR, Found, Said
from vmr_jax.models.ranges import COUNT, DROPPED, NOT_NEGATIVE
from vmr_jax.models.switches import PRECISIONS, check_choices, check_dropout, check_heads
from vmr_jax.types import (
    Array,
    Batch,
    Config,
    DataSpec,
    Losses,
    LossTerms,
    Moments,
    MomentSystem,
    Params,
    Progress,
    Term,
)

_CHOICES = {
    "precision": PRECISIONS,
    "encoder": ("joint", "cross"),
    "decoder": ("slots", "anchors"),
    "saliency.head": ("linear", "token"),
}
_RANGES = {
    **dict.fromkeys(
        ("decoder_layers", "encoder_layers", "hidden", "input.layers", "most_moments", "slots"),
        COUNT,
    ),
    **dict.fromkeys(
        (
            "cost.iou",
            "cost.label",
            "cost.span",
            "saliency.margin",
            "saliency.weight",
            "weights.iou",
            "weights.label",
            "weights.nothing",
            "weights.span",
        ),
        NOT_NEGATIVE,
    ),
    "input.dropout": DROPPED,
}


def describe(name: str, paper: str) -> Description:
    """The description of one of the two; what makes the difference is its config."""
    return Description(
        name=name,
        paper=paper,
        supervision="boundaries, several moments a query, and saliency where there are labels",
        kind="moments",
        build=build,
        domains=domains,
        saliency=True,
        readout=("infer",),
        reads=OPTIONAL_KEYS,
        ranges=_RANGES,
    )


def build(config: Config, specs: Mapping[str, DataSpec]) -> MomentSystem:
    """Build the system for batches of the sizes in `specs["target"]`."""
    del specs
    network = DETR(config)
    return MomentSystem(
        init=lambda key, batch: network.init(key, batch, negatives=True)["params"],
        loss=functools.partial(_loss, network, config),
        predict=functools.partial(_predict, network, config),
    )


def domains(config: Config) -> tuple[str, ...]:
    """The only domain is the target. Raises ValueError for a bad switch."""
    check_choices(config, _CHOICES)
    check_heads(config)
    check_dropout(config)
    if config.dim % 4:
        raise ValueError(f"config.dim={config.dim}: use a multiple of 4, for sines of anchors.")
    if not 0 <= config.input.dropout < 1:
        raise ValueError(f"config.input.dropout={config.input.dropout}: use a rate below 1.")
    counts = config.input.layers, config.encoder_layers, config.decoder_layers
    if min(counts) < 1:
        raise ValueError(
            "config.input.layers, encoder_layers and decoder_layers are "
            f"{counts}: use at least 1 of each."
        )
    if not config.target.labels or config.target.training_moment != "all":
        raise ValueError(
            f"config.target.labels={config.target.labels} and config.target.training_moment="
            f"{config.target.training_moment!r}: sets of moments are learned from all of a query's "
            "moments, set True and 'all'."
        )
    if not 1 <= config.most_moments <= config.slots:
        raise ValueError(
            f"config.most_moments={config.most_moments}: use 1 to config.slots={config.slots}, for "
            "each moment has a slot of its own."
        )
    return ("target",)


def _loss(
    network: DETR, config: Config, params: Params, batch: Batch, key: Array, progress: Progress
) -> Losses:
    """Moment-DETR, Eq. 6, and QD-DETR, Eq. 10."""
    del progress
    of_network, of_pairs, of_moments = jax.random.split(key, 3)
    found, saliency, other = cast(
        Said,
        network.apply({"params": params}, batch, of_network, negatives=config.saliency.negatives),
    )
    truth, real = draw_moments(of_moments, batch, config.most_moments)
    terms, watched = set_losses(config, found, truth, real, batch.weight)
    return Losses(terms | saliency_losses(config, batch, saliency, other, of_pairs), watched)


def draw_moments(key: Array, batch: Batch, most: int) -> tuple[Array, Array]:
    """Spans (B, A, 2) as shares of the video and which are real; random ones beyond `most`."""
    span = span_of(cast(Array, batch.moments) / batch.duration[:, None, None])
    real = ~jnp.isnan(span[..., 0])
    if span.shape[1] > most:
        order = jnp.where(real, jax.random.uniform(key, real.shape), 2.0)
        kept = jnp.argsort(order, axis=1)[:, :most]
        real = jnp.take_along_axis(real, kept, axis=1)
        span = jnp.take_along_axis(span, kept[..., None], axis=1)
    return jnp.where(real[..., None], span, 0), real


def set_losses(
    config: Config, found: Found, truth: Array, real: Array, weight: Array
) -> tuple[LossTerms, LossTerms]:
    """The terms of the matched slots, summed over the decoder's layers (or the last one's alone).

    Each layer is matched by itself: the layers' pairs stand one after the other. What is watched is
    the generalized IoU of matched spans.
    """
    first = 0 if config.auxiliary else len(found.span) - 1
    span, logit = (x[first:].reshape(-1, *x.shape[2:]) for x in found)
    layers = len(found.span) - first
    truth, real, weight = (
        jnp.tile(x, (layers,) + (1,) * (x.ndim - 1)) for x in (truth, real, weight)
    )
    matched = match(matching_cost(span, logit, truth, config.cost), real)
    distance, overlap = span_losses(span, truth, matched, weight)
    label = label_loss(logit, matched, config.weights.nothing, weight)
    of_all = {"span": distance, "iou": overlap, "label": label}
    terms = {
        name: (config.weights[name] * total, count / layers)
        for name, (total, count) in of_all.items()
    }
    return terms, {"matched_iou": (overlap[1] - overlap[0], overlap[1])}


def saliency_losses(
    config: Config, batch: Batch, score: Array, other: Array | None, key: Array
) -> LossTerms:
    """The terms of the saliency scores (B, N), and of those with the next pair's sentence."""
    settings, mask, truth = config.saliency, batch.video_mask, cast(Array, batch.saliency)
    pairs = draw_pairs(key, truth, mask)
    terms = {"saliency": pair_loss(score, pairs, settings.margin, batch.weight)}
    if other is not None:
        has_other = batch.video_id != jnp.roll(batch.video_id, -1)
        has_other &= jnp.roll(batch.weight, -1) > 0
        apart = batch.weight * has_other
        terms["negative"] = negative_loss(other, mask, apart)
        if settings.ranking:
            terms["ranking"] = ranking_loss(score, other, truth, mask, has_other, batch.weight)
    return {name: _times(settings.weight, term) for name, term in terms.items()}


def _times(factor: float, term: Term) -> Term:
    return factor * term[0], term[1]


def _predict(network: DETR, config: Config, params: Params, batch: Batch) -> Moments:
    """The slots by their probability of a moment, and the saliency of each clip."""
    found, saliency, _ = cast(Said, network.apply({"params": params}, batch))
    score = jax.nn.softmax(found.logit[-1], axis=-1)[..., 0]
    edges = jnp.clip(edges_of(found.span[-1]), 0, 1)
    if config.infer.round_to_clips:
        clips = jnp.maximum(batch.num_clips, 1)[:, None, None]
        edges = jnp.round(edges * clips) / clips
    moments = rank_moments(edges[..., 0], edges[..., 1], score, 1, batch.duration, config.eval)
    return moments._replace(saliency=jnp.where(batch.video_mask, saliency, -jnp.inf))
