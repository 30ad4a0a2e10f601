"""The losses of EVA (Eq. 4 to 11) on what its network computes."""

import functools
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from vmr_jax.layers.domain_adversarial import adversarial_loss, domain_loss
from vmr_jax.layers.sequences import masked_max
from vmr_jax.losses.boundary import boundary_loss
from vmr_jax.losses.mmd import Sample, make_sample, sample_mmd
from vmr_jax.losses.negatives import other_video, similarities
from vmr_jax.models.eva import network
from vmr_jax.models.eva.network import Branch, Pair, Views, of_branch
from vmr_jax.types import Array, Batch, Config, HybridBatch, Losses, LossTerms, Params


def weak_loss(branch: Branch, params: Params, batch: Batch, key: Array, progress) -> Losses:
    """L_w on the target (Eq. 4)."""
    del progress
    match = _matching(branch, of_branch(params, "weak"), batch, key)
    return Losses({"weak": match.loss}, match.watched)


def two_weak_losses(
    branch: Branch, params: Params, batch: HybridBatch, key: Array, progress
) -> Losses:
    """L_w on each domain with one network; negatives stay within the domain."""
    own, keys = of_branch(params, "weak"), jax.random.split(key)
    target = _matching(branch, own, batch.target, keys[0])
    source = _matching(branch, own, batch.source, keys[1])
    return Losses({"weak": target.loss, "weak_source": source.loss}, target.watched)


def full_loss(branch: Branch, params: Params, batch: Batch, key: Array, progress) -> Losses:
    """lambda_f L_f on the source (Eq. 6)."""
    del progress
    match, terms = _full_terms(branch, params, batch, key)
    return Losses(terms, match.watched)


def _full_terms(
    branch: Branch, params: Params, batch: Batch, key: Array
) -> tuple["_Match", LossTerms]:
    """The matching of the full branch, and all of its terms."""
    config, own = branch.config, of_branch(params, "full")
    match = _matching(branch, own, batch, key)
    scores = network.boundaries(branch, own, match.positive)
    boundary = boundary_loss(
        scores.start, scores.end, batch.span, batch.video_mask, batch.weight, config.boundary_prob
    )
    weights = {"full_match": config.lambdas.f, "boundary": config.lambdas.f * config.lambdas.r}
    terms = {"full_match": match.loss, "boundary": boundary}
    return match, {name: (weights[name] * total, count) for name, (total, count) in terms.items()}


def hybrid_loss(
    weak: Branch, full: Branch, params: Params, batch: HybridBatch, key: Array, progress
) -> Losses:
    """L of Eq. 11, with the sign settled in EVA A8."""
    del progress
    config = weak.config
    target_key, source_key, align_key = jax.random.split(key, 3)
    match = _matching(weak, of_branch(params, "weak"), batch.target, target_key)
    source_match, terms = _full_terms(full, params, batch.source, source_key)
    terms["weak"] = match.loss
    source, target = source_match.positive, match.positive
    weights = batch.source.weight, batch.target.weight
    if config.losses.align:
        align = _alignment(config, source, target, weights, align_key)
        terms["align"] = (config.lambdas.align * align, jnp.ones(()))
    if config.losses.domain:
        joint = _pooled(source.after), _pooled(target.after)
        terms["domain"] = (adversarial(weak, params["domain"], joint, weights), jnp.ones(()))
        if config.domain.extra_mmd != "none":
            extra = config.lambdas.domain * _extra_mmd(config, joint, weights)
            terms["domain_mmd"] = (extra, jnp.ones(()))
    return Losses(terms, match.watched)


class _Match(NamedTuple):
    """One domain's pairs matched with their own partners and with others."""

    positive: Views  # the rows of the pairs
    loss: tuple[Array, Array]  # Eq. 4
    watched: LossTerms  # P(V | Q) of the pairs, and with another query


def _matching(branch: Branch, params: Params, batch: Batch, key: Array) -> _Match:
    """Eq. 4 with one negative query and one negative video each."""
    keys = jax.random.split(key, 6)
    items = network.encode(branch, params, batch, keys[0])
    query_index, has_query = other_video(keys[1], batch.video_id, batch.weight)
    video_index, has_video = other_video(keys[2], batch.video_id, batch.weight)
    positive = network.interact(branch, params, items, keys[3])
    other_query = network.interact(branch, params, items, keys[4], query_index=query_index)
    other_video_ = network.interact(branch, params, items, keys[5], video_index=video_index)
    own, of_query, of_video = (
        _video_logit(branch, params, views) for views in (positive, other_query, other_video_)
    )
    loss = matching_loss(own, of_query, of_video, has_query, has_video, batch.weight)
    scores = jax.nn.sigmoid(own), jax.nn.sigmoid(of_query)
    return _Match(positive, loss, similarities(*scores, batch.weight * has_query))


def matching_loss(
    positive: Array,
    negative_query: Array,
    negative_video: Array,
    has_negative_query: Array,
    has_negative_video: Array,
    weight: Array,
) -> tuple[Array, Array]:
    """L_w of Eq. 4 from video-level logits, all (B,): (weighted sum, sum of weights).

    -2 log P(V|Q) - log(1 - P(V|Q-)) - log(1 - P(V-|Q)); a missing negative's term is left out.
    """
    loss = 2 * jax.nn.softplus(-positive)
    loss += jnp.where(has_negative_query, jax.nn.softplus(negative_query), 0)
    loss += jnp.where(has_negative_video, jax.nn.softplus(negative_video), 0)
    return jnp.sum(jnp.where(weight > 0, loss, 0) * weight), jnp.sum(weight)


def _video_logit(branch: Branch, params: Params, views: Views) -> Array:
    """Logit of P_m(V | Q), the best row's: (B,); of the full branch by `full.match` (EVA A11)."""
    match = branch.config.full.match
    if branch.windows or match == "clips":
        logits, mask = network.match(branch, params, views)
    elif match == "proposals":
        source = branch.config.source
        windows = branch._replace(windows=tuple(source.windows), stride=source.stride)
        logits, mask = network.match(branch, params, views, windows)
    else:
        logits = network.boundaries(branch, params, views).similarity
        mask = views.last.video_mask
    return jnp.max(jnp.where(mask, logits, -1e9), axis=-1)


def _pooled(pair: Pair) -> tuple[Array, Array]:
    """max(V_a) and max(Q_a), float32: two (B, D)."""
    video, query = masked_max(pair.video, pair.video_mask), masked_max(pair.query, pair.query_mask)
    return video.astype(jnp.float32), query.astype(jnp.float32)


def _alignment(
    config: Config,
    source: Views,
    target: Views,
    weights: tuple[Array, Array],
    key: Array,
) -> Array:
    """L_align of Eq. 8: the rows before and after Cross, video and query."""
    total = 0.0
    for stage, (source_pair, target_pair) in enumerate(
        [(source.before, target.before), (source.after, target.after)]
    ):
        for part, factor in ((0, config.lambdas.vid), (2, 1.0)):
            samples = [
                make_sample(
                    config.mmd, pair[part], pair[part + 1], weight, jax.random.fold_in(key, tag)
                )
                for pair, weight, tag in (
                    (source_pair, weights[0], 4 * stage + part),
                    (target_pair, weights[1], 4 * stage + part + 1),
                )
            ]
            total += factor * sample_mmd(config.mmd, *samples)
    return jnp.asarray(total)


def _extra_mmd(config: Config, joint, weights: tuple[Array, Array]) -> Array:
    """The further MMD on the pooled V and Q (EVA A15); `joint` holds both for both domains."""
    (source_video, source_query), (target_video, target_query) = (
        [Sample(points, weight) for points in pair]
        for pair, weight in zip(joint, weights, strict=True)
    )
    distance = functools.partial(sample_mmd, config.mmd)
    if config.domain.extra_mmd == "pooled_domain":
        return distance(source_video, target_video) + distance(source_query, target_query)
    return distance(source_video, source_query) + distance(target_video, target_query)


def adversarial(branch: Branch, params: Params, joint, weights: tuple[Array, Array]) -> Array:
    """The domain term of Eq. 11 in the form `domain.form` (EVA A8).

    grl_plus: +lambda L_dom behind a gradient reversal. The classifier learns, the features confuse.
    literal: -lambda L_dom behind one, as printed; the sign is applied twice.
    minus_no_grl: no reversal; the classifier minimises L_dom, the features minimise -lambda L_dom.
    Each player's gradient is cut from the other's objective. Adam works element by element, so one
    optimiser's step on the sum equals simultaneous steps of two.
    """
    config = branch.config
    source, target = (jnp.concatenate(part, axis=-1) for part in joint)

    def classify(params: Params, points: Array) -> Array:
        return cast(Array, branch.modules["domain"].apply({"params": params["domain"]}, points))

    stop = jax.lax.stop_gradient
    own = functools.partial(classify, params)
    if config.domain.form == "minus_no_grl":
        frozen = functools.partial(classify, stop(params))
        features = config.lambdas.domain * domain_loss(frozen(source), frozen(target), *weights)
        return domain_loss(own(stop(source)), own(stop(target)), *weights) - features
    sign = 1 if config.domain.form == "grl_plus" else -1
    return sign * config.lambdas.domain * adversarial_loss(own, source, target, *weights)
