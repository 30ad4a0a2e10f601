"""The losses of MMCDA, of which MMCDA M10 is the sum, on what its network computes."""

import functools
from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp

from vmr_jax.layers.clip_spans import split_clips
from vmr_jax.layers.domain_adversarial import adversarial_loss
from vmr_jax.layers.sequences import l2_normalize, masked_mean, masked_softmax, top_mean
from vmr_jax.losses.contrastive import batch_hinge_loss, hinge_loss, symmetric_info_nce
from vmr_jax.losses.mmd import Sample, make_sample, sample_mmd
from vmr_jax.losses.negatives import rival_mean, rivals, similarities
from vmr_jax.losses.relevant_content import relevant_content_loss
from vmr_jax.models.mmcda.localizers import localization, pseudo_labelled
from vmr_jax.models.mmcda.network import MMCDA, Views
from vmr_jax.models.mmcda.switches import POINTS, has_joint_space, terms
from vmr_jax.models.statistics import as_variables
from vmr_jax.types import (
    AnyArray,
    Array,
    Batch,
    Config,
    HybridBatch,
    Losses,
    LossTerms,
    Params,
    Progress,
    Term,
)

SIMILARITY_SCALE = 10.0  # logit of g over the cosine s
RAMP = 0.1  # the share of a run in which terms grow
_HARD = 5  # clips outside a moment that MMCDA M8 looks at
_BAG = 8  # one of so many clips is an instance of MMCDA M9


def supervised_loss(
    network: MMCDA, params: Params, batch: Batch, key: Array, progress: Progress
) -> Losses:
    """L_loc on the target's own labels, the upper bound of a transfer.

    With `align_target` also MMCDA M4, M7 and M8 on them.
    """
    del progress
    config, on = network.config, terms(network.config)
    views, statistics = _look(network, params, batch, "target", True, key)
    found = localization(config, views, batch)
    for name, (by, term) in _of_labels(config).items():
        if name in on:
            total, count = term(config, views, batch)
            found[name] = by * total, count
    return Losses(found, {}, statistics)


def _of_labels(config: Config) -> dict[str, tuple[Any, Callable[..., Term]]]:
    """The terms of labelled pairs beside L_loc, and their weights."""
    return {
        "source_pairs": (config.lambdas.ca, _source_pairs),
        "frames": (config.lambdas.sa, _frames),
        "frame_ranking": (config.lambdas.sa, _frame_ranking),
    }


def cross_domain_loss(
    network: MMCDA, params: Params, batch: HybridBatch, key: Array, progress: Progress
) -> Losses:
    """L_loc + lambda_1 L_DA + lambda_2 L_CA + lambda_3 L_SA of a source and a target half.

    Source: MMCDA M10.
    """
    config, on = network.config, terms(network.config)
    source_key, target_key, sample_key = jax.random.split(key, 3)
    source, statistics = _look(network, params, batch.source, "source", True, source_key)
    target, _ = _look(network, params, batch.target, "target", False, target_key)
    ramp = jnp.minimum(1.0, progress.fraction / RAMP) if config.ramp else 1.0
    weight = config.lambdas
    of_source, of_target = (config, source, batch.source), (config, target, batch.target)
    table: dict[str, tuple[Any, Callable[..., Term], tuple]] = {
        name: (by, term, of_source) for name, (by, term) in _of_labels(config).items()
    }
    table |= {
        "target_pairs": (weight.ca * ramp, _target_pairs, of_target),
        "target_modalities": (weight.ca * ramp, _modalities, of_target),
        "instances": (weight.sa * ramp, _instances, of_target),
    }
    for point in config.da.points:
        halves = _point_samples(config, point, source, target, batch, sample_key)
        distance = functools.partial(_distance, network, params, point)
        table[f"domain_{point}"] = (weight.da * ramp, distance, halves)
    found = localization(*of_source)
    for name, (by, term, of) in table.items():
        if name in on:
            total, count = term(*of)
            found[name] = by * total, count
    if "pseudo" in on:
        labelled, probability = pseudo_labelled(*of_target)
        for name, (total, count) in localization(config, target, labelled).items():
            found[f"pseudo_{name}"] = ramp * probability * total, count
    watched = _watched(*of_target) if has_joint_space(config) else {}
    return Losses(found, watched, statistics)


def _look(network: MMCDA, params: Params, batch: Batch, role: str, train: bool, key: Array):
    """The views of one half, and the running statistics after it (None without a map).

    The map's batch normalisation follows the labelled half; the other half reads what prediction
    will read.
    """
    views, new = network.apply(
        as_variables(params), batch, role, train, key, mutable=["batch_stats"]
    )
    return views, new.get("batch_stats")


def _point_samples(
    config: Config, point: str, source: Views, target: Views, batch: HybridBatch, key: Array
) -> tuple[Sample, Sample]:
    """What MMCDA M3 compares at one point: the rows of both halves there."""
    mask = "query_mask" if point == "query" else "video_mask"
    keys = jax.random.split(jax.random.fold_in(key, POINTS.index(point)))
    one, other = (
        make_sample(config.mmd, getattr(views, point), getattr(views, mask), half.weight, half_key)
        for views, half, half_key in zip((source, target), batch, keys, strict=True)
    )
    return one, other


def _distance(network: MMCDA, params: Params, point: str, source: Sample, target: Sample) -> Term:
    """MMCDA M3 at one point, by `da.kind`; adversarial: a classifier learns it, H unlearns it."""
    config = network.config
    if config.da.kind == "mmd":
        distance = sample_mmd(config.mmd, source, target)
    else:
        measure = coral
        if config.da.kind == "adversarial":
            classify = functools.partial(
                network.apply, as_variables(params), point, method="classify"
            )
            measure = functools.partial(adversarial_loss, cast(Callable[[Array], Array], classify))
        distance = measure(source.points, target.points, source.weight, target.weight)
    return distance, jnp.ones(())


def coral(x: AnyArray, y: AnyArray, x_weight: AnyArray, y_weight: AnyArray) -> Array:
    """|C_x - C_y|^2 / (4 D^2) of x (n, D) and y (m, D), C the sample covariance: a scalar.

    Points of weight 0 in `x_weight` (n,), `y_weight` (m,) count nowhere. 0 where a sample is
    empty. Source: Deep CORAL (Sun & Saenko, 2016), Eq. 1 to 3.
    """
    difference = _covariance(x, x_weight) - _covariance(y, y_weight)
    distance = jnp.sum(jnp.square(difference)) / (4 * x.shape[1] ** 2)
    return jnp.where((jnp.sum(x_weight) > 0) & (jnp.sum(y_weight) > 0), distance, 0)


def _covariance(points: AnyArray, weight: AnyArray) -> Array:
    """(n, D), (n,) -> (D, D); of a single point it is 0."""
    total = jnp.sum(weight)
    mean = weight @ points / jnp.maximum(total, 1e-9)
    centred = points - mean
    product = jnp.einsum("n,nd,ne->de", weight, centred, centred)
    return product / jnp.maximum(total - 1, 1)


def _source_pairs(config: Config, views: Views, batch: Batch) -> Term:
    """MMCDA M4: the mean clip inside each moment, and its sentence, among those of the batch."""
    inside, _ = split_clips(batch.span, views.video_mask)
    clips, sentence = views.joint
    moments = l2_normalize(masked_mean(clips, inside))
    score = jnp.einsum("vd,qd->vq", moments, sentence)
    rival = rivals(batch.video_id, batch.weight)
    return symmetric_info_nce(score, rival, batch.weight, config.ca.temperature)


def _target_pairs(config: Config, views: Views, batch: Batch) -> Term:
    """MMCDA M5: each video as each query attends it, e_V|q, and that query's sentence."""
    weight = masked_softmax(
        _all_similarities(views) / config.ca.attention, views.video_mask[:, None]
    )
    clips, sentence = views.joint
    attended = l2_normalize(jnp.einsum("vqn,vnd->vqd", weight, clips))
    score = jnp.einsum("vqd,qd->vq", attended, sentence)
    rival = rivals(batch.video_id, batch.weight)
    return symmetric_info_nce(score, rival, batch.weight, config.ca.temperature)


def _modalities(config: Config, views: Views, batch: Batch) -> Term:
    """MMCDA M6: MMD of the target's videos e_V and its sentences e_q."""
    clips, sentence = views.joint
    videos = l2_normalize(masked_mean(clips, views.video_mask))
    samples = (Sample(points, batch.weight) for points in (videos, sentence))
    return sample_mmd(config.mmd, *samples), jnp.ones(())


def _frames(config: Config, views: Views, batch: Batch) -> Term:
    """MMCDA M7: which clips are inside the moment, from the logit of g."""
    del config
    inside, outside = split_clips(batch.span, views.video_mask)
    logit = SIMILARITY_SCALE * views.similarity
    return relevant_content_loss(logit, inside, logit, outside, batch.weight, "balanced")


def _frame_ranking(config: Config, views: Views, batch: Batch) -> Term:
    """MMCDA M8: clips inside above the most similar ones outside; off where none is outside."""
    inside, outside = split_clips(batch.span, views.video_mask)
    mean = masked_mean(views.similarity[..., None], inside)[:, 0]
    hard = top_mean(views.similarity, outside, _HARD, _HARD)
    return hinge_loss(mean, hard, config.sa.margin, batch.weight * outside.any(axis=1))


def _instances(config: Config, views: Views, batch: Batch) -> Term:
    """MMCDA M9: a video's best clips for its own query above those for others, and of others."""
    rival = rivals(batch.video_id, batch.weight)
    hardest = config.sa.neg == "hardest"
    return batch_hinge_loss(_bag_scores(views), rival, config.sa.margin, hardest)


def _watched(config: Config, views: Views, batch: Batch) -> LossTerms:
    """v(V, Q) of MMCDA M9, of the target's pairs and of their videos with other queries."""
    del config
    score, rival = _bag_scores(views), rivals(batch.video_id, batch.weight)
    weight = rival.any(axis=1).astype(jnp.float32)
    return similarities(jnp.diagonal(score), rival_mean(score, rival), weight)


def _bag_scores(views: Views) -> Array:
    """v of MMCDA M9, the mean of a video's best eighth of clips: (B videos, B queries) float32."""
    mask = views.video_mask
    count, most = -(-mask.sum(axis=1) // _BAG), -(-mask.shape[1] // _BAG)
    return top_mean(_all_similarities(views), mask[:, None], count[:, None], most)


def _all_similarities(views: Views) -> Array:
    """s of each video's clips with each query of the half: (B videos, B queries, N) float32."""
    return jnp.einsum("vnd,qd->vqn", *views.joint)
