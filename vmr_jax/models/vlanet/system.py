"""VLANet, weakly-supervised retrieval by surrogate proposals, as a System (Ma et al., ECCV 2020).

It learns from pairs of a video and a query without boundaries: a pair shall be more similar than
the same video with a query about another one.
"""

import functools
from collections.abc import Mapping
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np

from vmr_jax.decoding.ranking import rank_moments
from vmr_jax.layers.clip_spans import Groups, group_spans, spans_to_seconds
from vmr_jax.losses.contrastive import hinge_loss
from vmr_jax.losses.negatives import other_video, similarities
from vmr_jax.metrics.didemo import MOMENTS, SEGMENTS
from vmr_jax.models.description import OPTIONAL_KEYS, Description
from vmr_jax.models.ranges import COUNT, NOT_NEGATIVE
from vmr_jax.models.switches import PRECISIONS, check_choices
from vmr_jax.models.vlanet.network import Aligned, VLANet, make_groups
from vmr_jax.types import (
    Array,
    AttentionMap,
    Batch,
    Config,
    DataSpec,
    Losses,
    Moments,
    MomentSystem,
    Params,
)

_CHOICES = {
    "precision": PRECISIONS,
    "proposals.stride_unit": ("step", "frame"),
    "vla.reduce": ("sum", "mean"),
    "query.norm_stage": ("after_fc", "before_fc", "both"),
    "negatives.mode": ("reencode", "shared_vcomp"),
    "negatives.sides": ("query", "both"),
    "infer.score": ("last_q2v", "vla", "product"),
}
_RANGES = {
    **dict.fromkeys(
        ("cascade_repeat", "proposals.frames_per_clip", "proposals.stride", "proposals.widths"),
        COUNT,
    ),
    "margin": NOT_NEGATIVE,
}
_DIRECTIONS = ("q2v", "v2q")


def build(config: Config, specs: Mapping[str, DataSpec]) -> MomentSystem:
    """Build VLANet for batches of the sizes in `specs["target"]`.

    Raises ValueError for a switch with an unknown value, and for windows or a readout with which
    DiDeMo cannot be scored.
    """
    groups = make_groups(config, specs["target"].max_clips)
    if config.metric.didemo:
        _check_didemo(config, groups)
    network = VLANet(config)
    return MomentSystem(
        init=lambda key, batch: network.init(key, batch)["params"],
        loss=functools.partial(_loss, network, config),
        predict=functools.partial(_predict, network, config),
        attention=functools.partial(_attention, network, config),
    )


def domains(config: Config) -> tuple[str, ...]:
    """The only domain is the target. Raises ValueError for a bad switch."""
    check_choices(config, _CHOICES)
    unknown = [step for step in config.cascade if step not in _DIRECTIONS]
    if unknown or (config.cross_attn and "q2v" not in config.cascade):
        raise ValueError(
            f"config.cascade={tuple(config.cascade)}: give a tuple of 'q2v' and 'v2q' with at "
            "least one 'q2v', whose weights rank the proposals."
        )
    if config.cascade_repeat < 1:
        raise ValueError(f"config.cascade_repeat={config.cascade_repeat}: use at least 1.")
    if config.proposals.frames_per_clip <= 0:
        raise ValueError(
            f"config.proposals.frames_per_clip={config.proposals.frames_per_clip}: use at least 1."
        )
    if config.margin <= 0:
        raise ValueError(f"config.margin={config.margin}: a hinge needs a margin above 0.")
    return ("target",)


def _check_didemo(config: Config, groups: Groups) -> None:
    """Refuse windows that are not DiDeMo's 21 moments, and a readout that leaves some out."""
    start, end, valid = group_spans(groups, np.array([SEGMENTS]), np)
    moments = set(zip(start[valid].tolist(), end[valid].tolist(), strict=True))
    if len(moments) < len(MOMENTS) or groups.cut or not config.infer.fill:
        raise ValueError(
            f"config.metric.didemo={config.metric.didemo!r} needs a ranking of all {len(MOMENTS)} "
            f"moments; config.proposals makes {len(moments)}: use proposals.stride=1, "
            f"proposals.widths={tuple(range(1, SEGMENTS + 1))}, proposals.cut=False and "
            "infer.fill=True."
        )


def _loss(
    network: VLANet, config: Config, params: Params, batch: Batch, key: Array, progress
) -> Losses:
    """Eq. 14, with one negative query an item and, with `negatives.sides`, one negative video."""
    del progress
    apply = functools.partial(network.apply, {"params": params})
    videos = apply(batch.video, batch.num_clips, method="videos")
    queries = apply(batch.query, batch.query_mask, method="queries")
    keys = jax.random.split(key)
    pairs = len(batch.weight)
    own = jnp.arange(pairs)
    other, has_other = other_video(keys[0], batch.video_id, batch.weight)
    pairings = [(own, own), (own, other)]
    if config.negatives.sides == "both":
        pairings.append((other_video(keys[1], batch.video_id, batch.weight)[0], own))
    if config.negatives.mode == "reencode":
        video, query = (jnp.concatenate(index) for index in zip(*pairings, strict=True))
        found = apply(_take(videos, video), _take(queries, query), method="align")
        aligned = cast(Aligned, found)
        scores = jnp.split(aligned.similarity, len(pairings))
    else:
        aligned = cast(Aligned, apply(videos, queries, method="align"))
        scores = [_pair_outputs(apply, aligned, *pairing) for pairing in pairings]
    weight = batch.weight * has_other
    terms = {"contrastive": hinge_loss(scores[0], scores[1], config.margin, weight)}
    if config.negatives.sides == "both":
        terms["contrastive_video"] = hinge_loss(scores[0], scores[2], config.margin, weight)
    return Losses(terms, similarities(scores[0], scores[1], weight))


def _take(tree, index: Array):
    """Items of a tuple of arrays, by row."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def _pair_outputs(apply, aligned: Aligned, video: Array, query: Array) -> Array:
    """E(v_comp, Q) of outputs of the cascade that each met their own partner (VLANet V4)."""
    compact = aligned.video.sum(axis=1)[video]
    words, mask = aligned.query[query], aligned.query_mask[query]
    return apply(compact, words, mask, method="similarity")


def _predict(network: VLANet, config: Config, params: Params, batch: Batch) -> Moments:
    """The surrogates by attention, then the other windows by cosine (VLANet V9, V11).

    On DiDeMo the moments beyond a shorter video's end follow in order, so that all 21 are ranked.
    """
    aligned = cast(Aligned, network.apply({"params": params}, batch))
    groups = make_groups(config, batch.video.shape[1])
    start, end, valid = group_spans(groups, batch.num_clips)
    score = _window_scores(aligned, valid, config.infer.fill)
    if config.metric.didemo:
        full = group_spans(groups, np.array([batch.video.shape[1]]), np)
        last = jnp.min(score, where=valid, initial=jnp.inf, axis=-1, keepdims=True)
        beyond = full[2] & ~valid
        start, end = jnp.where(beyond, full[0], start), jnp.where(beyond, full[1], end)
        score = jnp.where(beyond, last - 1 - jnp.arange(score.shape[1]), score)
    return rank_moments(start, end, score, batch.num_clips, batch.duration, config.eval)


def _window_scores(aligned: Aligned, valid: Array, fill: bool) -> Array:
    """What ranks the windows, (B, G L): -inf on those that are not listed.

    A window that went through the cascade has its rank; with `fill` the others stand below all of
    them, by their cosine.
    """
    shape = aligned.cosine.shape
    rank = jnp.reshape(aligned.rank, (*shape[:2], -1))
    worst = jnp.min(rank, where=jnp.isfinite(rank), initial=jnp.inf, axis=(1, 2), keepdims=True)
    others = worst - 2 + aligned.cosine if fill else -jnp.inf
    score = jnp.where(aligned.chosen, rank, others).reshape(valid.shape)
    return jnp.where(valid, score, -jnp.inf)


def _attention(network: VLANet, config: Config, params: Params, batch: Batch) -> AttentionMap:
    """The rows of the cascade by their strength, and what each word adds to their alignment.

    After the paper's Fig. 5 and 6. The paper's map of words is the outer product V Q^T of the
    outputs, whose sign means nothing without W_1 and W_2; here it is the terms of Eq. 13's E.
    """
    aligned = cast(Aligned, network.apply({"params": params}, batch))
    start, end, _ = group_spans(make_groups(config, batch.video.shape[1]), batch.num_clips)
    if config.surrogate:
        shape = aligned.chosen.shape
        start, end = (
            jnp.sum(jnp.where(aligned.chosen, x.reshape(shape), 0), axis=-1) for x in (start, end)
        )
    start, end = spans_to_seconds(start, end, batch.num_clips, batch.duration)
    words = cast(Array, network.apply({"params": params}, aligned, method="word_terms"))
    return AttentionMap(start, end, jnp.isfinite(aligned.rank), aligned.strength, words)


SYSTEM = Description(
    name="vlanet",
    paper="Ma et al., ECCV 2020",
    supervision="pairs of a video and a query",
    kind="moments",
    build=build,
    domains=domains,
    readout=("proposals", "infer"),
    reads=OPTIONAL_KEYS,
    ranges=_RANGES,
    words_show="alignment of word and proposal (terms of Eq. 7)",
)
