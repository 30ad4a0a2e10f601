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

from vmr_jax.decoding.ranking import rank_moments
from vmr_jax.decoding.spans import list_spans, score_spans
from vmr_jax.layers.clip_spans import pool_proposals, proposal_spans, spans_to_seconds
from vmr_jax.losses.boundary import PROBABILITIES, boundary_probability
from vmr_jax.losses.mmd import KERNELS, SAMPLES
from vmr_jax.models.description import OPTIONAL_KEYS, Description
from vmr_jax.models.eva import losses, network
from vmr_jax.models.eva.network import Branch, of_branch
from vmr_jax.models.merge_params import merge_params
from vmr_jax.models.ranges import COUNT, NOT_NEGATIVE
from vmr_jax.models.switches import (
    PRECISIONS,
    check_choices,
    check_dropout,
    check_heads,
    check_same_widths,
)
from vmr_jax.types import (
    Array,
    AttentionMap,
    Batch,
    Config,
    DataSpec,
    Moments,
    MomentSystem,
    Params,
)

_CHOICES = {
    "precision": PRECISIONS,
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
    "mmd.samples": SAMPLES,
    "mmd.kernel": KERNELS,
    "pretrain": ("none", "source_finetune", "unlabelled_source"),
}
_RANGES = {
    **dict.fromkeys(("attn.heads", "target.stride", "target.windows"), COUNT),
    **dict.fromkeys(
        (
            "lambdas.align",
            "lambdas.domain",
            "lambdas.f",
            "lambdas.r",
            "lambdas.vid",
            "pretrain_epochs",
        ),
        NOT_NEGATIVE,
    ),
}


def build(config: Config, specs: Mapping[str, DataSpec]) -> MomentSystem:
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
        loss = functools.partial(losses.hybrid_loss, weak, full)
    elif config.branches.full:
        loss = functools.partial(losses.full_loss, full)
    elif len(trained_on) == 2:
        loss = functools.partial(losses.two_weak_losses, weak)
    else:
        loss = functools.partial(losses.weak_loss, weak)
    if config.branches.weak:
        predict, predict_source = functools.partial(_predict_weak, weak), None
    else:
        predict, predict_source = (
            functools.partial(_predict_full, full, config[role]) for role in ("target", "source")
        )
    return MomentSystem(
        init=functools.partial(_init, modules, config, dict(specs)),
        loss=loss,
        predict=predict,
        predict_source=predict_source,
        attention=functools.partial(_attention, weak) if config.branches.weak else None,
    )


def domains(config: Config) -> tuple[str, ...]:
    """The domains that a run of `config` trains on. Raises ValueError for a bad switch."""
    _check_switches(config)
    if config.branches.weak and (config.branches.full or config.pretrain == "unlabelled_source"):
        return ("source", "target")
    return ("target",) if config.branches.weak else ("source",)


def pretraining(config: Config) -> Config | None:
    """The run whose parameters this one starts from, or None (Table 5, WR + fine-tune)."""
    if config.pretrain != "source_finetune":
        return None
    _check_switches(config)  # before hours of pre-training, not after them
    before = Config(config)
    before.pretrain = "none"
    before.branches = Config({"weak": False, "full": True})
    before.epochs = config.pretrain_epochs or config.epochs
    if before.select == "val":
        before.select = "val_or_holdout"  # of the source, which may have no validation split
    return before


def chooser(config: Config) -> str:
    """The domain whose labels may choose a checkpoint: the source's of a run on it alone."""
    return "target" if config.branches.weak else "source"


def _check_switches(config: Config) -> None:
    """Refuse values that no switch has, and switches that contradict each other."""
    check_choices(config, _CHOICES)
    if not isinstance(config.share, (tuple, list)):
        raise ValueError(f"config.share={config.share!r}: give a tuple of names, e.g. ('cross',).")
    unknown = [name for name in config.share if name not in network.SHAREABLE]
    if unknown:
        raise ValueError(
            f"config.share={tuple(config.share)}: cannot share {', '.join(unknown)}. "
            f"Modules that can be shared: {', '.join(network.SHAREABLE)}."
        )
    check_heads(config, "attn.heads")
    check_dropout(config)
    if not (config.branches.weak or config.branches.full):
        raise ValueError("config.branches: at least one of weak and full must be True.")
    if config.pretrain == "source_finetune" and config.full.match == "sim_max":
        raise ValueError(
            "config.pretrain='source_finetune' needs the full branch's matching head, which "
            "config.full.match='sim_max' does not have: use clips or proposals."
        )
    if config.domain.form == "minus_no_grl" and config.optimizer.grad_clip > 0:
        raise ValueError(
            "config.domain.form='minus_no_grl' steps two players apart, which clipping their "
            "common norm would couple: set config.optimizer.grad_clip=0."
        )
    if config.pretrain != "none" and (config.branches.full or not config.branches.weak):
        raise ValueError(
            f"config.pretrain={config.pretrain!r} trains the weak branch alone: "
            "set config.branches.weak=True and config.branches.full=False."
        )


def _check_sizes(config: Config, specs: Mapping[str, DataSpec]) -> None:
    """Refuse domains of different feature sizes where one projection serves both (EVA A20)."""
    both = config.branches.weak and config.branches.full
    if both and "proj" not in config.share:
        return
    advice = "Use the same kind of features, or both branches with 'proj' left out of config.share."
    check_same_widths(specs, ("video_dim", "word_dim"), advice)


def _init(modules, config: Config, specs: dict[str, DataSpec], key: Array, batch=None) -> Params:
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


def merge(config: Config, params: Params, restored: Params) -> Params:
    """Start from another run; WR + fine-tune from a full branch alone, without its boundary head.

    Raises ValueError that lists what does not fit.
    """
    if config.pretrain != "source_finetune":
        return merge_params(params, restored)
    if "full" not in restored:
        raise ValueError(
            "pretrain=source_finetune starts from a run with config.branches.weak=False, but the "
            f"restored parameters are those of: {', '.join(sorted(restored))}."
        )
    pretrained = of_branch(restored, "full")
    wanted = {
        group: {name: pretrained.get(name, {}) for name in names} for group, names in params.items()
    }
    return merge_params(params, wanted)


def _predict_weak(branch: Branch, params: Params, batch: Batch) -> Moments:
    """The best proposals of the weak branch, the only one at test (EVA, section 3.3)."""
    own = of_branch(params, "weak")
    views = network.interact(branch, own, network.encode(branch, own, batch, None), None)
    return _rank_proposals(branch, *network.match(branch, own, views), batch)


def _predict_full(branch: Branch, domain: Config, params: Params, batch: Batch) -> Moments:
    """A model trained on the source alone, applied to the target, or to the source itself.

    With full.match=proposals the matching head ranks the windows of the domain's block; else the
    boundary head ranks all spans by P_s * P_e.
    """
    config, own = branch.config, of_branch(params, "full")
    views = network.interact(branch, own, network.encode(branch, own, batch, None), None)
    if config.full.match == "proposals":
        windows = branch._replace(windows=tuple(domain.windows), stride=domain.stride)
        return _rank_proposals(windows, *network.match(branch, own, views, windows), batch)
    scores, mask = network.boundaries(branch, own, views), batch.video_mask
    start, end = (
        boundary_probability(logits, mask, config.boundary_prob)
        for logits in (scores.start, scores.end)
    )
    first, last = list_spans(mask.shape[1])
    score = score_spans(start, end, mask, "product")
    return rank_moments(first, last + 1, score, batch.num_clips, batch.duration, config.eval)


def _rank_proposals(windows: Branch, logits: Array, mask: Array, batch: Batch) -> Moments:
    """Rank proposals by their logits, so that saturated scores do not tie; score by sigmoid."""
    start, end, _ = proposal_spans(windows.grid(batch.video.shape[1]), batch.num_clips)
    scores = jnp.where(mask, logits, -jnp.inf)
    settings = windows.config.eval
    ranked = rank_moments(start, end, scores, batch.num_clips, batch.duration, settings)
    probability = jnp.where(jnp.isfinite(ranked.score), jax.nn.sigmoid(ranked.score), -jnp.inf)
    return ranked._replace(score=probability)


def _attention(branch: Branch, params: Params, batch: Batch) -> AttentionMap:
    """P_m of each proposal of the weak branch, and cross attention's weights R(V, Q) (Eq. 5).

    Where Cross works on clips (EVA A4) a proposal has the mean of its clips' weights.
    """
    own = of_branch(params, "weak")
    items = network.encode(branch, own, batch, None)
    logits, mask = network.match(branch, own, network.interact(branch, own, items, None))
    start, end, _ = proposal_spans(branch.grid(batch.video.shape[1]), batch.num_clips)
    words = network.cross_weights(branch, own, items)
    if words.shape[1] != mask.shape[1]:
        words = pool_proposals(words, start, end)
    start, end = spans_to_seconds(start, end, batch.num_clips, batch.duration)
    return AttentionMap(start, end, mask, jax.nn.sigmoid(logits), words)


SYSTEM = Description(
    name="eva",
    paper="Cai, Huang, Gong; BMVC 2022",
    supervision="boundaries in the source, pairs in the target",
    kind="moments",
    build=build,
    domains=domains,
    reads=OPTIONAL_KEYS,
    ranges=_RANGES,
    chooser=chooser,
    pretraining=pretraining,
    merge=merge,
)
