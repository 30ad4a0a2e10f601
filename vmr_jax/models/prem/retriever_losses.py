"""PREM's losses of the retriever: a video is as relevant as its best clips (PREM, section 3.3).

J modalities of B videos with N clips meet B queries with one vector a modality. Vectors have
length 1 or are zero. `weight` is 0 on padding.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from vmr_jax.layers.clip_spans import split_clips
from vmr_jax.losses.contrastive import info_nce
from vmr_jax.losses.negatives import rival_mean, rivals, similarities
from vmr_jax.types import Array, Config, Losses

POSITIVES = ("strong", "strong_weak", "whole_video")
SCOPES = ("video", "span")


class Pairs(NamedTuple):
    """B queries, each with the video that it is about."""

    query: Array  # (B, J, D) float32
    video: Array  # (B, N, J, D) float32
    mask: Array  # (B, N) valid clips
    span: Array  # (B, 2) int32 inclusive clips of the moment
    video_id: Array  # (B,) equal ids are the same video
    weight: Array  # (B,) float32


def best_clips(similarity: Array, mask: Array, joint: bool = False) -> Array:
    """S^R (PREM, Eq. 6), the mean over modalities of the best similarity.

    (J, ..., N), (..., N) -> (...). Only clips on the mask count; 0 where there is none. With
    `joint` one clip is the best for all modalities together (PREM P4).
    """
    if joint:
        similarity = similarity.mean(axis=0, keepdims=True)
    best = jnp.max(jnp.where(mask, similarity, -1e9), axis=-1)
    return jnp.where(mask.any(axis=-1), best, 0).mean(axis=0)


def clip_similarities(query: Array, video: Array) -> Array:
    """Cosines of all queries and clips: (Q, J, D), (V, N, J, D) -> (J, Q, V, N) float32."""
    return jnp.einsum("qjd,vnjd->jqvn", query, video, precision=jax.lax.Precision.HIGHEST)


def retrieval_losses(pairs: Pairs, settings: Config) -> Losses:
    """L_++ and L_+ (PREM, Eq. 7 and 8), and L^q; watched: the scores of pairs and of rivals.

    `settings` has temperature, positive, weak_weight, strong.joint_clip, mask_same_video and
    vq.neg_scope. An item whose moment is the whole video has no L_+ term.
    """
    inside, outside = split_clips(pairs.span, pairs.mask)
    similarity = clip_similarities(pairs.query, pairs.video)
    score = best_clips(similarity, pairs.mask)  # (B queries, B videos)
    own = jnp.einsum("bjd,bnjd->jbn", pairs.query, pairs.video, precision=jax.lax.Precision.HIGHEST)
    rival = rivals(pairs.video_id, pairs.weight, same_video=not settings.mask_same_video)
    count = jnp.sum(pairs.weight)

    if settings.positive == "whole_video":
        strong = best_clips(own, pairs.mask)
    else:
        strong = best_clips(own, inside, settings.strong.joint_clip)
    of_queries = best_clips(similarity, inside) if settings.vq.neg_scope == "span" else score
    to_video = info_nce(strong, score, rival, settings.temperature)
    to_query = info_nce(strong, of_queries.T, rival.T, settings.temperature)
    terms = {
        "strong": (jnp.sum(to_video * pairs.weight), count),
        "video_to_query": (jnp.sum(to_query * pairs.weight), count),
    }
    if settings.positive == "strong_weak":
        weak = best_clips(own, outside, settings.strong.joint_clip)
        to_video = info_nce(weak, score, rival, settings.temperature)
        weight = pairs.weight * outside.any(axis=1)
        terms["weak"] = (settings.weak_weight * jnp.sum(to_video * weight), jnp.sum(weight))
    return Losses(terms, similarities(strong, rival_mean(score, rival), pairs.weight))
