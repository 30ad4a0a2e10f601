"""MMN, 2D moment maps and mutual matching, as a System of videos (Wang et al., AAAI 2022).

A map of moments is computed once a video and meets all its queries in two spaces: one is trained
to tell a cell's IoU with the moment, the other to tell each moment's sentence from other
sentences and each sentence's moment from other moments. Equations and choices:
docs/papers/mmn_vdi.md.
"""

import functools
from collections.abc import Mapping
from typing import cast

import jax
import jax.numpy as jnp

from vmr_jax.data.text.tokens import STORED, vocabulary_size
from vmr_jax.decoding.ranking import rank_moments
from vmr_jax.encoders.clip import ClipTextConfig, load_clip_text
from vmr_jax.encoders.distilbert import load_distilbert
from vmr_jax.layers.map_convolution import FORMS
from vmr_jax.layers.map_reach import map_weights
from vmr_jax.layers.moment_map import Cells, cell_iou, map_cells
from vmr_jax.losses.mutual_matching import (
    NEGATIVE_MASKS,
    Matches,
    best_cells,
    iou_loss,
    moment_to_sentence,
    scale_iou,
    sentence_to_moment,
)
from vmr_jax.losses.negatives import rival_mean, similarities
from vmr_jax.models.description import OPTIONAL_KEYS, Description
from vmr_jax.models.mmn.network import MMN, Joint, text_sizes
from vmr_jax.models.ranges import COUNT, NOT_NEGATIVE, POSITIVE
from vmr_jax.models.statistics import as_params, as_variables
from vmr_jax.models.switches import PRECISIONS, check_choices, check_iou_labels
from vmr_jax.types import (
    Array,
    Config,
    DataSpec,
    Losses,
    LossTerms,
    Moments,
    MomentSystem,
    Params,
    Progress,
    VideoBatch,
)

IOU_SCALE = 10.0  # logit of the IoU score over the cosine (MMN A6)
LATER = 0.01  # of the contrastive weight, after its full epochs (MMN A13)
_CHOICES = {
    "precision": PRECISIONS,
    "text.encoder": ("distilbert", "clip", STORED),
    "text.size": ("base", "small"),
    "map.form": FORMS,
    "contrastive.cells": ("convolved", "pooled", "mean"),
    "neg_mask": NEGATIVE_MASKS,
    "score.fusion": ("mmn_pow", "product", "iou_only"),
}
RANGES = {
    "contrastive.positives": COUNT,
    **dict.fromkeys(
        (
            "contrastive.epsilon",
            "contrastive.full_epochs",
            "contrastive.group_size",
            "contrastive.margin",
            "contrastive.weight",
            "map.edges",
            "score.power",
        ),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(("contrastive.tau_s", "contrastive.tau_v"), POSITIVE),
}


def build(config: Config, specs: Mapping[str, DataSpec]) -> MomentSystem:
    """Build MMN for batches of the sizes in `specs["target"]`.

    Raises ValueError for a switch with an unknown value and for sizes that do not fit.
    """
    spec = specs["target"]
    network = MMN(config, spec.video_dim, vocabulary_size(config.text), spec.word_dim)
    return MomentSystem(
        init=functools.partial(init, network),
        loss=functools.partial(_loss, network, config),
        predict=functools.partial(predict, network, config),
    )


def domains(config: Config) -> tuple[str, ...]:
    """The only domain is the target. Raises ValueError for a bad switch."""
    check_choices(config, _CHOICES)
    sizes, contrastive = config.map, config.contrastive
    cells = map_cells(config.map)
    map_weights(sizes.clips, tuple(sizes.pooling_counts), sizes.kernel, sizes.layers)
    if config.target.max_clips % sizes.clips:
        raise ValueError(
            f"config.target.max_clips={config.target.max_clips} steps cannot be pooled to "
            f"config.map.clips={sizes.clips} clips of equal length: use a multiple of it."
        )
    if not config.target.labels:
        raise ValueError("config.target.labels=False: MMN learns from boundaries, set it to True.")
    check_iou_labels(config)
    if not 1 <= contrastive.positives <= len(cells.row):
        raise ValueError(
            f"config.contrastive.positives={contrastive.positives}: use 1 to {len(cells.row)}, the "
            "number of the map's cells."
        )
    if min(contrastive.tau_v, contrastive.tau_s) <= 0:
        raise ValueError(
            f"config.contrastive.tau_v={contrastive.tau_v} and tau_s={contrastive.tau_s}: "
            "temperatures must be above 0."
        )
    if contrastive.group_size < 0 or config.batch_size % (contrastive.group_size or 1):
        raise ValueError(
            f"config.contrastive.group_size={contrastive.group_size} does not divide "
            f"config.batch_size={config.batch_size} videos: use a divisor, or 0 for all of them."
        )
    return ("target",)


def moment_map(config: Config) -> Cells:
    """The cells that `predict` ranks."""
    return map_cells(config.map)


def init(network: MMN, key: Array, batch: VideoBatch) -> Params:
    """Fresh parameters, and the running statistics of the map's batch normalisations."""
    return as_params(network.init(key, batch, train=True))


def read_text_encoder(config: Config, params: Params) -> Params:
    """The parameters with the text encoder of the file `text.weights`, where it is named."""
    text = config.text
    if not text.weights:
        return params
    sizes = text_sizes(text, vocabulary_size(text))
    if isinstance(sizes, ClipTextConfig):
        encoder = load_clip_text(text.weights, sizes)
    else:
        encoder = load_distilbert(text.weights, sizes)
    return {**params, "text_encoder": encoder}


def _loss(
    network: MMN,
    config: Config,
    params: Params,
    batch: VideoBatch,
    key: Array,
    progress: Progress,
) -> Losses:
    """L_iou + lambda(epoch) (L_v + L_s), MMN A13; `statistics` are the new running statistics."""
    (cells, queries), new = network.apply(
        as_variables(params), batch, train=True, key=key, mutable=["batch_stats"]
    )
    terms, watched = objective(config, batch, cells, queries, progress.epoch)
    return Losses(terms, watched, new["batch_stats"])


def objective(
    config: Config, batch: VideoBatch, cells: Joint, queries: Joint, epoch: Array
) -> tuple[LossTerms, LossTerms]:
    """The terms of L_iou + lambda(epoch) (L_v + L_s), and what to watch; `epoch` counts from 0."""
    moments = matches(config, batch, cells, queries)
    logit = iou_logits(config, cells, queries, batch.owner)
    label = scale_iou(moments.iou, config.iou.min, config.iou.max)
    settings = config.contrastive
    of_sentences = moment_to_sentence(moments, settings.margin, settings.tau_v, settings.group_size)
    of_moments = sentence_to_moment(
        moments,
        settings.margin,
        settings.tau_s,
        settings.epsilon,
        config.neg_mask,
        settings.group_size,
    )
    weight = contrastive_weight(settings, epoch)
    terms = {
        "iou": iou_loss(logit, label, batch.query_weight),
        "moment_to_sentence": (weight * of_sentences[0], of_sentences[1]),
        "sentence_to_moment": (weight * of_moments[0], of_moments[1]),
    }
    return terms, _watch(moments)


def iou_logits(config: Config, cells: Joint, queries: Joint, owner: Array) -> Array:
    """The logit of s^iou of each query and cell of its video, (T, P) (MMN A6).

    With `iou.given_match` the contrastive cosine is added, so that the space of the IoU has to
    learn only what a sentence's moment is beside other cells that match it; it is not trained here.
    """
    cosine = _of_own_video(cells.iou, queries.iou, owner)
    if config.iou.given_match:
        match = _of_own_video(cells.contrastive, queries.contrastive, owner)
        cosine = cosine + jax.lax.stop_gradient(match)
    return IOU_SCALE * cosine


def contrastive_weight(settings: Config, epoch: Array) -> Array:
    """lambda(epoch) of MMN A13; `epoch` counts the epochs done, so that it is 0 in the first."""
    return settings.weight * jnp.where(epoch < settings.full_epochs, 1.0, LATER)


def matches(config: Config, batch: VideoBatch, cells: Joint, queries: Joint) -> Matches:
    """What the contrastive losses are about."""
    duration = batch.duration[batch.owner]
    iou = cell_iou(map_cells(config.map), batch.moment[:, None], duration)[:, 0]
    return Matches(
        score=_scores(cells.contrastive, queries.contrastive),
        iou=iou,
        best=best_cells(iou, config.contrastive.positives),
        moment=batch.moment,
        owner=batch.owner,
        weight=batch.query_weight,
        video_weight=batch.weight,
    )


def _watch(moments: Matches) -> dict:
    """Mean cosine of a moment with its sentence, and with those of other videos."""
    at_best = moments.score[:, moments.owner, moments.best[:, 0]]  # (T sentences, T moments)
    other = (moments.owner[:, None] != moments.owner) & (moments.weight[:, None] > 0)
    negative = rival_mean(at_best.T, other.T)
    return similarities(jnp.diagonal(at_best), negative, moments.weight)


def _scores(cells: Array, queries: Array) -> Array:
    """Cosines of all queries and cells: unit vectors (B, P, D), (T, D) -> (T, B, P) float32."""
    return jnp.einsum("td,bpd->tbp", queries, cells)


def _of_own_video(cells: Array, queries: Array, owner: Array) -> Array:
    """Cosines with the cells of each query's video, (T, P).

    Picked from all: T B P numbers are fewer than the T P D of the gathered vectors.
    """
    return _scores(cells, queries)[jnp.arange(len(owner)), owner]


def fuse_scores(iou: Array, contrastive: Array, fusion: str, power: float) -> Array:
    """What ranks the cells, from s^iou in [0, 1] and s^c in [-1, 1] (MMN A15; VDI, Eq. 10)."""
    if fusion == "product":
        return iou * contrastive
    if fusion == "iou_only":
        return iou
    return iou * jnp.maximum(0.5 * contrastive + 0.5, 0) ** power


def predict(network: MMN, config: Config, params: Params, batch: VideoBatch) -> Moments:
    """The cells of each query's video by fused scores, after NMS; the first is VDI, Eq. 10's."""
    found = network.apply(as_variables(params), batch, train=False)
    cells, queries = cast(tuple[Joint, Joint], found)
    iou = jax.nn.sigmoid(iou_logits(config, cells, queries, batch.owner))
    contrastive = _of_own_video(cells.contrastive, queries.contrastive, batch.owner)
    score = fuse_scores(iou, contrastive, config.score.fusion, config.score.power)
    duration, cells = batch.duration[batch.owner], map_cells(config.map)
    return rank_moments(cells.row, cells.column + 1, score, cells.clips, duration, config.eval)


SYSTEM = Description(
    name="mmn",
    paper="Wang et al., AAAI 2022",
    supervision="boundaries",
    kind="moments",
    batch="videos",
    build=build,
    domains=domains,
    readout=("score",),
    reads=OPTIONAL_KEYS,
    ranges=RANGES,
    moment_map=moment_map,
    pretrained=read_text_encoder,
)
