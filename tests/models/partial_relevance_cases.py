"""The retriever's losses of PREM in loops, float64."""

import math

import numpy as np


def best(similarity, clips, joint=False):
    """S over the clips of a list: (J, N) -> a number; 0 without clips."""
    if not clips:
        return 0.0
    chosen = similarity[:, clips]
    return float(chosen.mean(0).max() if joint else chosen.max(1).mean())


def slow_losses(pairs, settings):
    """Each term's mean, and the watched means."""
    query, video = (np.asarray(x, np.float64) for x in (pairs.query, pairs.video))
    mask, span, name, weight = (np.asarray(x) for x in pairs[2:])
    items = [b for b in range(len(weight)) if weight[b] > 0]
    clips = [np.flatnonzero(row).tolist() for row in mask]
    inside = [[n for n in clips[b] if span[b, 0] <= n <= span[b, 1]] for b in range(len(clips))]
    outside = [[n for n in clips[b] if n not in inside[b]] for b in range(len(clips))]
    similar = lambda q, v: np.einsum("jd,njd->jn", query[q], video[v])  # noqa: E731

    def rivals(b):
        other = [i for i in items if i != b]
        return [i for i in other if name[i] != name[b]] if settings.mask_same_video else other

    def contrast(positive, negatives):
        t = settings.temperature
        top = max([positive, *negatives])
        total = sum(math.exp((x - top) / t) for x in [positive, *negatives])
        return math.log(total) - (positive - top) / t

    strong, weak, to_query, seen, unlike = [], [], [], [], []
    for b in items:
        own, joint = similar(b, b), settings.strong.joint_clip
        if settings.positive == "whole_video":
            positive = best(own, clips[b])
        else:
            positive = best(own, inside[b], joint)
        videos = [best(similar(b, i), clips[i]) for i in rivals(b)]
        scope = inside[b] if settings.vq.neg_scope == "span" else clips[b]
        strong.append(contrast(positive, videos))
        to_query.append(contrast(positive, [best(similar(i, b), scope) for i in rivals(b)]))
        if outside[b]:
            weak.append(contrast(best(own, outside[b], joint), videos))
        seen.append(positive)
        unlike.append(np.mean(videos) if videos else 0.0)
    terms = {"strong": np.mean(strong), "video_to_query": np.mean(to_query)}
    if settings.positive == "strong_weak":
        terms["weak"] = settings.weak_weight * np.mean(weak) if weak else 0.0
    watched = {"similarity_positive": np.mean(seen), "similarity_negative": np.mean(unlike)}
    return terms, watched
