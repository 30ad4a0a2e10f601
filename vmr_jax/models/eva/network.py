"""The network of EVA: how its two branches run through the modules (EVA, section 3)."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from vmr_jax.layers.clip_spans import pool_proposals, proposal_grid, proposal_spans
from vmr_jax.layers.domain_adversarial import DomainClassifier
from vmr_jax.layers.sequences import masked_max
from vmr_jax.models.eva.modules import (
    AttentionUnit,
    Boundaries,
    BoundaryHead,
    CrossAttention,
    MatchingHead,
    Projections,
    QuerySide,
    SelfAttention,
    VideoSide,
)
from vmr_jax.models.switches import compute_dtype
from vmr_jax.types import Array, Batch, Config, DataSpec, Params

SHAREABLE = ("self1", "self2", "cross", "head", "proj")
_ORDER = {
    "after_self2": (("self1", "proposals", "self2"), ()),
    "after_self1": (("self1",), ("proposals", "self2")),
    "before_self2": (("self1", "proposals"), ("self2",)),
}


class Pair(NamedTuple):
    """Videos and the queries they are paired with, at one place of the network."""

    video: Array  # (B, L, D) clips or proposals
    video_mask: Array  # (B, L)
    query: Array  # (B, M, D)
    query_mask: Array  # (B, M)
    num_clips: Array  # (B,)


class Items(NamedTuple):
    """What one pass over a batch gives before any video meets a query."""

    pair: Pair
    video_side: VideoSide
    query_side: QuerySide


class Views(NamedTuple):
    """The rows before Cross, after Cross, and after the last module, which the heads read."""

    before: Pair
    after: Pair
    last: Pair


class Branch(NamedTuple):
    """How one branch runs. Without `windows` it works on clips instead of proposals."""

    modules: Mapping[str, nn.Module]
    config: Config
    windows: tuple[int, ...]
    stride: int

    def grid(self, max_clips: int):
        """The windows over `max_clips` padded clips."""
        return proposal_grid(max_clips, self.windows, self.stride, **self.config.proposals)


def modules(config: Config) -> dict[str, nn.Module]:
    """The Linen modules by name; a branch applies them to its own or to shared parameters."""
    common = {
        "dim": config.dim,
        "kernel_init": (
            nn.initializers.xavier_uniform()
            if config.init == "xavier"
            else nn.initializers.normal(0.02)
        ),
        "dtype": compute_dtype(config),
    }

    def unit() -> AttentionUnit:
        return AttentionUnit(
            heads=config.attn.heads,
            layer_norm=config.attn.layer_norm,
            dropout=config.dropout,
            **common,
        )

    return {
        "proj": Projections(dropout=config.dropout, **common),
        "self1": SelfAttention(unit),
        "self2": SelfAttention(unit),
        "cross": CrossAttention(unit, sequential=config.cross_update == "sequential"),
        "head": MatchingHead(fc_out=config.fusion.fc_out, **common),
        "boundary": BoundaryHead(**common),
        "domain": DomainClassifier(out=config.domain.out, act=config.domain.act, **common),
    }


def init_module(modules: Mapping[str, nn.Module], name: str, key: Array, spec: DataSpec) -> Params:
    """Parameters of one module, for features and words of the sizes in `spec`."""
    module, dim = modules[name], modules["head"].dim
    rows, mask = jnp.zeros((1, 1, dim)), jnp.ones((1, 1), bool)
    video, words = jnp.zeros((1, 1, spec.video_dim)), jnp.zeros((1, 1, spec.word_dim))
    arguments = {
        "proj": (video, mask, words, mask),
        "head": (rows, rows[0]),
        "domain": (jnp.zeros((1, 2 * dim)),),
    }
    return module.init(key, *arguments.get(name, (rows, mask, rows, mask)))["params"]


def of_branch(params: Params, branch: str) -> Params:
    """The parameters that a branch runs on: the shared modules and its own."""
    return {**params["shared"], **params[branch]}


def _apply(branch: Branch, params: Params, name: str, *arguments: Any, **options: Any) -> Any:
    """Run the module `name` on its parameters in `params`."""
    return branch.modules[name].apply({"params": params[name]}, *arguments, **options)


def _run(
    branch: Branch, params: Params, steps: tuple[str, ...], pair: Pair, key: Array | None
) -> Pair:
    """Send a pair through self-attention and proposal steps in turn."""
    keys = [None] * len(steps) if key is None else jax.random.split(key, len(steps) or 1)
    for step, step_key in zip(steps, keys, strict=False):
        if step != "proposals":
            video, query = _apply(branch, params, step, *pair[:4], step_key)
            pair = pair._replace(video=video, query=query)
        elif branch.windows:
            spans = proposal_spans(branch.grid(pair.video.shape[1]), pair.num_clips)
            video = pool_proposals(pair.video, spans[0], spans[1])
            pair = pair._replace(video=video, video_mask=spans[2])
    return pair


def encode(branch: Branch, params: Params, batch: Batch, key: Array | None) -> Items:
    """Everything before Cross, and the part of Cross that no pairing changes."""
    keys = (None, None) if key is None else jax.random.split(key)
    masks = batch.video_mask, batch.query_mask
    video, query = _apply(
        branch, params, "proj", batch.video, masks[0], batch.query, masks[1], keys[0]
    )
    pair = Pair(video, masks[0], query, masks[1], batch.num_clips)
    pair = _run(branch, params, _ORDER[branch.config.cross_position][0], pair, keys[1])
    sides = _apply(branch, params, "cross", *pair[:4], method="prepare")
    return Items(pair, *sides)


def interact(
    branch: Branch,
    params: Params,
    items: Items,
    key: Array | None,
    video_index: Array | None = None,
    query_index: Array | None = None,
) -> Views:
    """Cross and what follows it, on each item's own pair or re-paired by indices (B,)."""
    before, video, query = items
    if video_index is not None:
        video = jax.tree.map(lambda x: x[video_index], video)
        before = before._replace(
            video=video.rows, video_mask=video.mask, num_clips=before.num_clips[video_index]
        )
    if query_index is not None:
        query = jax.tree.map(lambda x: x[query_index], query)
        before = before._replace(query=before.query[query_index], query_mask=query.mask)
    keys = (None, None) if key is None else jax.random.split(key)
    rows, words = _apply(branch, params, "cross", video, query, keys[0], method="meet")
    after = before._replace(video=rows, query=words)
    steps = _ORDER[branch.config.cross_position][1]
    return Views(before, after, _run(branch, params, steps, after, keys[1]))


def cross_weights(branch: Branch, params: Params, items: Items) -> Array:
    """R(V, Q) of Eq. 5 for each item's own pair, the mean over heads: (B, L, M)."""
    return _apply(branch, params, "cross", *items[1:], method="weights")


def boundaries(branch: Branch, params: Params, views: Views) -> Boundaries:
    """The boundary head on the last rows, which are clips."""
    return _apply(branch, params, "boundary", *views.last[:4])


def match(
    branch: Branch, params: Params, views: Views, windows: Branch | None = None
) -> tuple[Array, Array]:
    """Matching logits of the last rows and their mask: (B, L), (B, L).

    `windows` pools the rows, which are clips, into that branch's proposals first (EVA A11).
    """
    pair = views.last
    rows, mask = pair.video, pair.video_mask
    if windows is not None:
        start, end, mask = proposal_spans(windows.grid(rows.shape[1]), pair.num_clips)
        rows = pool_proposals(rows, start, end)
    words = views.before if branch.config.query_pool_stage == "before" else views.last
    sentence = masked_max(words.query, words.query_mask)
    return _apply(branch, params, "head", rows, sentence), mask
