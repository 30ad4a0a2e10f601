"""EVA, hybrid-learning video moment retrieval, as a System (Cai, Huang, Gong; BMVC 2022).

The weak branch learns from pairs of the target without boundaries, the full branch from the
source with boundaries; both meet in the modules that `share` lists, in the MMD terms and in the
domain classifier. `branches` and `pretrain` choose the comparison rows of Table 5:

    weak and full                     EVA, domains (source, target)
    weak                              WR, and the second stage of `source_finetune`: (target,)
    full                              the first stage of `source_finetune`: (source,)
    weak, pretrain=unlabelled_source  one weak network on both domains: (source, target)

`losses.align` and `losses.domain` act where both branches do. Parameters are
{"shared": {module: ...}, "weak": {...}, "full": {...}, "domain": {"domain": ...}}.
"""

import functools
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from vmr_jax.layers.gradient_reversal import gradient_reversal
from vmr_jax.layers.pooling import masked_max, masked_mean
from vmr_jax.layers.proposals import proposal_spans, spans_to_seconds
from vmr_jax.losses.boundary import PROBABILITIES, boundary_loss, boundary_probability
from vmr_jax.losses.domain import domain_loss
from vmr_jax.losses.matching import matching_loss, other_video
from vmr_jax.losses.mmd import KERNELS, mmd, subsample
from vmr_jax.metrics.nms import nms
from vmr_jax.metrics.spans import search_spans
from vmr_jax.models import eva_network as network
from vmr_jax.models.eva_network import Branch, Pair, Views
from vmr_jax.runtime.adopt import adopt_matching
from vmr_jax.types import Array, Batch, DataSpec, HybridBatch, LossTerms, Moments, Params, System

_CHOICES = {
    "precision": ("float32", "bfloat16"),
    "init": ("xavier", "normal002"),
    "attn.layer_norm": ("none", "post"),
    "fusion.fc_out": ("d", "2d", "identity"),
    "cross_position": ("after_self2", "after_self1", "before_self2"),
    "cross_update": ("parallel", "sequential"),
    "query_pool_stage": ("after", "before"),
    "boundary_prob": PROBABILITIES,
    "full.match": ("clips", "proposals", "sim_max"),
    "domain.form": ("grl_plus", "minus_no_grl", "literal"),
    "domain.out": ("softmax2", "sigmoid"),
    "domain.act": ("relu", "none"),
    "domain.extra_mmd": ("pooled_domain", "cross_modal", "none"),
    "mmd.samples": ("mean", "max", "elements"),
    "mmd.kernel": KERNELS,
    "pretrain": ("none", "source_finetune", "unlabelled_source"),
}


def make(config: ConfigDict, specs: Mapping[str, DataSpec]) -> System:
    """Build EVA for batches of the sizes in `specs`, one DataSpec a domain.

    Raises ValueError for a switch with an unknown value, for switches that contradict each
    other, and for domains with other feature sizes in a module that they share.
    """
    trained_on = domains(config)
    _check_sizes(config, specs)
    modules = network.modules(config)
    weak = Branch(modules, config, tuple(config.target.windows), config.target.stride)
    full = Branch(modules, config, (), 0)
    if config.branches.weak and config.branches.full:
        loss = functools.partial(_hybrid_loss, weak, full)
    elif config.branches.full:
        loss = functools.partial(_full_loss, full)
    elif len(trained_on) == 2:
        loss = functools.partial(_two_weak_losses, weak)
    else:
        loss = functools.partial(_weak_loss, weak)
    adopt = _adopt_full_branch if config.pretrain == "source_finetune" else adopt_matching
    return System(
        domains=trained_on,
        init=functools.partial(_init, modules, config, dict(specs)),
        loss=loss,
        predict=functools.partial(_predict_weak, weak)
        if config.branches.weak
        else functools.partial(_predict_full, full),
        adopt=adopt,
    )


def domains(config: ConfigDict) -> tuple[str, ...]:
    """The domains that a run of `config` trains on. Raises ValueError for a bad switch."""
    _check_switches(config)
    if config.branches.weak and (config.branches.full or config.pretrain == "unlabelled_source"):
        return ("source", "target")
    return ("target",) if config.branches.weak else ("source",)


def pretraining(config: ConfigDict) -> ConfigDict | None:
    """The run whose parameters this one starts from, or None (Table 5, WR + fine-tune)."""
    if config.pretrain != "source_finetune":
        return None
    before = ConfigDict(config)
    before.pretrain = "none"
    before.branches = ConfigDict({"weak": False, "full": True})
    return before


def _check_switches(config: ConfigDict) -> None:
    """Refuse values that no switch has, and switches that contradict each other."""
    for path, allowed in _CHOICES.items():
        value = functools.reduce(lambda part, name: part[name], path.split("."), config)
        if value not in allowed:
            raise ValueError(f"config.{path}={value!r}: use one of {', '.join(allowed)}.")
    unknown = [name for name in config.share if name not in network.SHAREABLE]
    if unknown:
        raise ValueError(
            f"config.share={tuple(config.share)}: cannot share {', '.join(unknown)}. "
            f"Modules that can be shared: {', '.join(network.SHAREABLE)}."
        )
    if config.attn.heads < 1 or config.dim % config.attn.heads:
        raise ValueError(
            f"config.attn.heads={config.attn.heads} does not divide config.dim={config.dim}."
        )
    if not 0 <= config.dropout < 1:
        raise ValueError(f"config.dropout={config.dropout}: use a rate of at least 0, below 1.")
    if not (config.branches.weak or config.branches.full):
        raise ValueError("config.branches: at least one of weak and full must be True.")
    if config.pretrain != "none" and (config.branches.full or not config.branches.weak):
        raise ValueError(
            f"config.pretrain={config.pretrain!r} trains the weak branch alone: "
            "set config.branches.weak=True and config.branches.full=False."
        )


def _check_sizes(config: ConfigDict, specs: Mapping[str, DataSpec]) -> None:
    """Refuse domains of different feature sizes where one projection serves both (spec A20)."""
    both = config.branches.weak and config.branches.full
    if len(specs) < 2 or (both and "proj" not in config.share):
        return
    for size in ("video_dim", "word_dim"):
        source, target = getattr(specs["source"], size), getattr(specs["target"], size)
        if source != target:
            raise ValueError(
                f"{size} is {source} in the source and {target} in the target, but one projection "
                "serves both. Use the same kind of features, or both branches with 'proj' left "
                "out of config.share."
            )


def _init(
    modules, config: ConfigDict, specs: dict[str, DataSpec], key: Array, batch=None
) -> Params:
    """Fresh parameters. They depend on the sizes alone, not on `batch`."""
    del batch
    own = {"weak": ["proj", "self1", "self2", "cross", "head"]}
    own["full"] = [*own["weak"], "boundary"]
    if config.full.match == "sim_max":
        own["full"].remove("head")
    own = {name: own[name] for name in own if config.branches[name]}
    layout = {"shared": [name for name in network.SHAREABLE if name in config.share]}
    layout |= {
        branch: [name for name in names if name not in config.share]
        for branch, names in own.items()
    }
    if len(own) == 2 and config.losses.domain:
        layout["domain"] = ["domain"]
    fallback = next(iter(specs.values()))
    spec_of = {"full": specs.get("source", fallback), "weak": specs.get("target", fallback)}
    spec_of["shared"] = spec_of["domain"] = next(spec_of[branch] for branch in own)
    keys = iter(jax.random.split(key, sum(map(len, layout.values()))))
    return {
        group: {
            name: network.init_module(modules, name, next(keys), spec_of[group]) for name in names
        }
        for group, names in layout.items()
    }


def _of_branch(params: Params, branch: str) -> Params:
    """The parameters that a branch runs on: the shared modules and its own."""
    return {**params["shared"], **params[branch]}


def _adopt_full_branch(params: Params, restored: Params) -> Params:
    """Start the weak branch from a full branch trained alone; its boundary head is dropped.

    Raises ValueError that lists what does not fit.
    """
    if "full" not in restored:
        raise ValueError(
            "pretrain=source_finetune starts from a run with config.branches.weak=False, but the "
            f"restored parameters are those of: {', '.join(sorted(restored))}."
        )
    pretrained = _of_branch(restored, "full")
    wanted = {
        group: {name: pretrained.get(name, {}) for name in names} for group, names in params.items()
    }
    return adopt_matching(params, wanted)


def _scaled(term: tuple[Array, Array], factor: float) -> tuple[Array, Array]:
    """Weigh a (sum, count) term."""
    return term[0] * factor, term[1]


def _weak_loss(branch: Branch, params: Params, batch: Batch, key: Array, step) -> LossTerms:
    """L_w on the target (Eq. 4)."""
    del step
    return {"weak": _matching(branch, _of_branch(params, "weak"), batch, key)[1]}


def _two_weak_losses(
    branch: Branch, params: Params, batch: HybridBatch, key: Array, step
) -> LossTerms:
    """L_w on each domain with one network; negatives stay within the domain."""
    own, keys = _of_branch(params, "weak"), jax.random.split(key)
    return {
        "weak": _matching(branch, own, batch.target, keys[0])[1],
        "weak_source": _matching(branch, own, batch.source, keys[1])[1],
    }


def _full_loss(branch: Branch, params: Params, batch: Batch, key: Array, step) -> LossTerms:
    """lambda_f L_f on the source (Eq. 6)."""
    del step
    return _full_terms(branch, params, batch, key)[1]


def _full_terms(
    branch: Branch, params: Params, batch: Batch, key: Array
) -> tuple[Views, LossTerms]:
    """The positive pairs' rows and the terms of the full branch."""
    config, own = branch.config, _of_branch(params, "full")
    views, bce = _matching(branch, own, batch, key)
    scores = network.boundaries(branch, own, views)
    boundary = boundary_loss(
        scores.start, scores.end, batch.span, batch.video_mask, batch.weight, config.boundary_prob
    )
    weight = config.lambdas
    terms = {
        "full_match": _scaled(bce, weight.f),
        "boundary": _scaled(boundary, weight.f * weight.r),
    }
    return views, terms


def _hybrid_loss(
    weak: Branch, full: Branch, params: Params, batch: HybridBatch, key: Array, step
) -> LossTerms:
    """L of Eq. 11, with the sign settled in spec A8."""
    del step
    config = weak.config
    target_key, source_key, align_key = jax.random.split(key, 3)
    target, weak_term = _matching(weak, _of_branch(params, "weak"), batch.target, target_key)
    source, terms = _full_terms(full, params, batch.source, source_key)
    terms["weak"] = weak_term
    weights = batch.source.weight, batch.target.weight
    if config.losses.align:
        align = _alignment(config, source, target, weights, align_key)
        terms["align"] = (config.lambdas.align * align, jnp.ones(()))
    if config.losses.domain:
        joint = _pooled(source.after), _pooled(target.after)
        adversarial = _adversarial(weak, params["domain"], joint, weights)
        terms["domain"] = (adversarial, jnp.ones(()))
        if config.domain.extra_mmd != "none":
            extra = config.lambdas.domain * _extra_mmd(config, joint, weights)
            terms["domain_mmd"] = (extra, jnp.ones(()))
    return terms


def _matching(
    branch: Branch, params: Params, batch: Batch, key: Array
) -> tuple[Views, tuple[Array, Array]]:
    """The positive pairs' rows, and Eq. 4 with one negative query and one negative video each."""
    keys = jax.random.split(key, 6)
    items = network.encode(branch, params, batch, keys[0])
    query_index, has_query = other_video(keys[1], batch.video_id, batch.weight)
    video_index, has_video = other_video(keys[2], batch.video_id, batch.weight)
    positive = network.interact(branch, params, items, keys[3])
    other_query = network.interact(branch, params, items, keys[4], query_index=query_index)
    other_video_ = network.interact(branch, params, items, keys[5], video_index=video_index)
    logits = [_video_logit(branch, params, v) for v in (positive, other_query, other_video_)]
    return positive, matching_loss(*logits, has_query, has_video, batch.weight)


def _video_logit(branch: Branch, params: Params, views: Views) -> Array:
    """Logit of P_m(V | Q), the best row's: (B,). The full branch follows `full.match` (A11)."""
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
    config: ConfigDict,
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
                _samples(config, pair[part], pair[part + 1], weight, jax.random.fold_in(key, tag))
                for pair, weight, tag in (
                    (source_pair, weights[0], 4 * stage + part),
                    (target_pair, weights[1], 4 * stage + part + 1),
                )
            ]
            total += factor * _mmd(config, *samples)
    return total


def _samples(
    config: ConfigDict, rows: Array, mask: Array, weight: Array, key: Array
) -> tuple[Array, Array]:
    """What an MMD of Eq. 8 compares, and its weights (spec A13)."""
    if config.mmd.samples == "mean":
        return masked_mean(rows, mask), weight
    if config.mmd.samples == "max":
        return masked_max(rows, mask).astype(jnp.float32), weight
    elements = rows.astype(jnp.float32).reshape(-1, rows.shape[-1])
    element_weight = (mask * weight[:, None]).reshape(-1)
    return subsample(key, elements, element_weight, config.mmd.elements)


def _mmd(config: ConfigDict, x: tuple[Array, Array], y: tuple[Array, Array]) -> Array:
    """Squared MMD of two (samples, weights) with the kernel of the config."""
    return mmd(x[0], y[0], x[1], y[1], config.mmd.kernel, config.mmd.gamma)


def _extra_mmd(config: ConfigDict, joint, weights: tuple[Array, Array]) -> Array:
    """The further MMD on the pooled V and Q (spec A15); `joint` holds both for both domains."""
    (source_video, source_query), (target_video, target_query) = joint
    source_weight, target_weight = weights
    if config.domain.extra_mmd == "pooled_domain":
        return _mmd(config, (source_video, source_weight), (target_video, target_weight)) + _mmd(
            config, (source_query, source_weight), (target_query, target_weight)
        )
    return _mmd(config, (source_video, source_weight), (source_query, source_weight)) + _mmd(
        config, (target_video, target_weight), (target_query, target_weight)
    )


def _adversarial(branch: Branch, params: Params, joint, weights: tuple[Array, Array]) -> Array:
    """The domain term of Eq. 11 in the form `domain.form` (spec A8).

    grl_plus: +lambda L_dom behind a gradient reversal. The classifier learns, the features confuse.
    literal: -lambda L_dom behind one, as printed; the sign is applied twice.
    minus_no_grl: no reversal; the classifier minimises L_dom, the features minimise -lambda L_dom.
    Each player's gradient is cut from the other's objective. Adam works element by element, so one
    optimiser's step on the sum equals simultaneous steps of two.
    """
    config = branch.config
    source, target = (jnp.concatenate(part, axis=-1) for part in joint)

    def loss(params: Params, source: Array, target: Array) -> Array:
        classify = functools.partial(branch.modules["domain"].apply, {"params": params["domain"]})
        return domain_loss(classify(source), classify(target), *weights)

    stop = jax.lax.stop_gradient
    if config.domain.form == "minus_no_grl":
        features = config.lambdas.domain * loss(stop(params), source, target)
        return loss(params, stop(source), stop(target)) - features
    sign = 1 if config.domain.form == "grl_plus" else -1
    reversed_loss = loss(params, gradient_reversal(source), gradient_reversal(target))
    return sign * config.lambdas.domain * reversed_loss


def _predict_weak(branch: Branch, params: Params, batch: Batch) -> Moments:
    """The best proposals of the weak branch, the only one at test (spec 4)."""
    own = _of_branch(params, "weak")
    views = network.interact(branch, own, network.encode(branch, own, batch, None), None)
    return _rank_proposals(branch, *network.match(branch, own, views), batch)


def _predict_full(branch: Branch, params: Params, batch: Batch) -> Moments:
    """A model trained on the source alone, applied to the target.

    With full.match=proposals the matching head ranks the target's windows; else the boundary
    head ranks all spans by P_s * P_e (metrics specification, section 9).
    """
    config, own = branch.config, _of_branch(params, "full")
    views = network.interact(branch, own, network.encode(branch, own, batch, None), None)
    if config.full.match == "proposals":
        windows = branch._replace(windows=tuple(config.target.windows), stride=config.target.stride)
        return _rank_proposals(windows, *network.match(branch, own, views, windows), batch)
    scores, mask = network.boundaries(branch, own, views), batch.video_mask
    clips = mask.shape[1]
    search = functools.partial(search_spans, min_len=0, max_len=clips, k=clips * (clips + 1) // 2)
    first, last, score = jax.vmap(search)(
        boundary_probability(scores.start, mask, config.boundary_prob),
        boundary_probability(scores.end, mask, config.boundary_prob),
        mask,
    )
    return _rank(config, first, last + 1, score, batch)


def _rank_proposals(windows: Branch, logits: Array, mask: Array, batch: Batch) -> Moments:
    """Rank proposals by their logits, so that saturated scores do not tie; score by sigmoid."""
    start, end, _ = proposal_spans(windows.grid(batch.video.shape[1]), batch.num_clips)
    ranked = _rank(windows.config, start, end, jnp.where(mask, logits, -jnp.inf), batch)
    probability = jnp.where(jnp.isfinite(ranked.score), jax.nn.sigmoid(ranked.score), -jnp.inf)
    return ranked._replace(score=probability)


def _rank(config: ConfigDict, start: Array, end: Array, score: Array, batch: Batch) -> Moments:
    """Half-open clip spans (B, P) -> the best moments in seconds after NMS (B, K)."""
    start, end = spans_to_seconds(start, end, batch.num_clips, batch.duration)
    if config.eval.clip_to_duration:
        end = jnp.minimum(end, batch.duration[:, None])
    suppress = functools.partial(nms, threshold=config.eval.nms, k=config.eval.top_k)
    return Moments(*jax.vmap(suppress)(start, end, score))
