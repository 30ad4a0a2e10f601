"""VDI, visual-dynamic injection into MMN's text encoder (Luo et al., CVPR 2023).

Two losses of training teach the text encoder, from the words outside of a query's noun chunks,
what the video shows and how things move in it. Prediction is MMN's own. Equations and choices:
docs/papers/mmn_vdi.md.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp

from vmr_jax.data.text.tokens import STORED, vocabulary_size
from vmr_jax.models.mmn import system as mmn
from vmr_jax.models.mmn.network import MMN, Joint, text_sizes
from vmr_jax.models.ranges import DROPPED, NOT_NEGATIVE
from vmr_jax.models.statistics import as_variables
from vmr_jax.models.switches import check_choices, compute_dtype
from vmr_jax.models.vdi.losses import (
    REDUCTIONS,
    SAME_VIDEO,
    spatial_dynamic_loss,
    visual_context_loss,
)
from vmr_jax.models.vdi.network import HEADS, Dynamics, SpatialDynamics, VisualContext
from vmr_jax.types import (
    Array,
    Config,
    DataSpec,
    Losses,
    LossTerms,
    MomentSystem,
    Params,
    Progress,
    VideoBatch,
)

_CHOICES = {
    "backbone": ("clip", "vgg", "c3d"),
    "patch_proj": ("clip", "raw"),
    "vdi.schedule": ("joint", "alternate"),
    "vc.probe": ("static", "full", "none"),
    "vc.reduction": REDUCTIONS,
    "vc.stop_grad": ("none", "probe", "target"),
    "sd.seq": ("transformer", "lstm"),
    "sd.same_video": SAME_VIDEO,
}
_RANGES = {
    **dict.fromkeys(("sd.weight", "target.patch_frames", "vc.weight"), NOT_NEGATIVE),
    "vdi.dropout": DROPPED,
}


class Networks(NamedTuple):
    """MMN's network, and what training adds to it; `config` is the run's."""

    config: Config
    mmn: MMN
    context: VisualContext
    dynamics: SpatialDynamics


def build(config: Config, specs: Mapping[str, DataSpec]) -> MomentSystem:
    """Build VDI for batches of the sizes in `specs["target"]`.

    Raises ValueError for a switch with an unknown value and for sizes that do not fit.
    """
    width = specs["target"].video_dim
    if config.vdi.vc and config.vc.probe == "none" and width % HEADS:
        raise ValueError(
            f"config.vc.probe='none' attends frames with {HEADS} heads, which do not divide their "
            f"width {width}: use static or full."
        )
    base, dtype = _mmn_config(config), compute_dtype(config)
    networks = Networks(
        config,
        MMN(base, width, vocabulary_size(config.text), specs["target"].word_dim),
        VisualContext(config.vdi.dropout, dtype),
        SpatialDynamics(config.sd.seq, config.sd.l2norm, config.vdi.dropout, dtype),
    )
    return MomentSystem(
        init=functools.partial(_init, networks),
        loss=functools.partial(_loss, networks),
        predict=functools.partial(mmn.predict, networks.mmn, base),
    )


def domains(config: Config) -> tuple[str, ...]:
    """The only domain is the target. Raises ValueError for a bad switch."""
    check_choices(config, _CHOICES)
    if config.text.query_mask_mode == "learned" and config.text.encoder != "clip":
        raise ValueError(
            f"config.text.query_mask_mode='learned' and encoder={config.text.encoder!r}: only "
            "clip's embeddings can be replaced; use drop, token or attention."
        )
    if config.text.encoder == STORED and _parts(config):
        raise ValueError(
            "config.text.encoder='features': VDI's losses encode parts of the queries, of which no "
            "features are stored; use distilbert or clip, or config.vdi.vc=False and vdi.sd=False."
        )
    return mmn.domains(_mmn_config(config))


def _mmn_config(config: Config) -> Config:
    """The config as MMN reads it: CLIP's features go straight to the map (VDI, section 4.1.3)."""
    return Config(config.to_dict() | {"video": {"conv": config.backbone != "clip"}})


def _init(networks: Networks, key: Array, batch: VideoBatch) -> Params:
    """Fresh parameters and running statistics; what training adds has names of its own."""
    _check_fields(networks.config, batch)
    config, keys = networks.config, jax.random.split(key, 4)
    params = dict(mmn.init(networks.mmn, keys[0], batch))
    sizes = text_sizes(config.text, networks.mmn.vocabulary)
    if _hides_by_embedding(config):
        params["hidden_word"] = 0.02 * jax.random.normal(keys[1], (sizes.width,))
    features = _sentences(networks, params, batch, None)
    if config.vdi.vc:
        made = networks.context.init(keys[2], *_context_inputs(config, features, batch))
        params["visual_context"] = made["params"]
    if config.vdi.sd:
        made = networks.dynamics.init(keys[3], features["dynamic"], batch.patches, batch.patch_cls)
        params["spatial_dynamics"] = made["params"]
    return params


def _check_fields(config: Config, batch: VideoBatch) -> None:
    """Raise ValueError where the batches lack what the losses read."""
    if _parts(config) and batch.dynamic_tokens is None:
        raise ValueError(
            "config.vdi.vc and config.vdi.sd read static and dynamic queries: set "
            "config.text.query_mask_mode=drop, or both to False."
        )
    if not config.vdi.sd:
        return
    if batch.patches is None or batch.patch_cls is None:
        raise ValueError(
            "config.vdi.sd=True reads patches of frames: name them as config.target.patches, or "
            "set config.vdi.sd=False."
        )
    patch, frame = batch.patches.shape[-1], batch.patch_cls.shape[-1]
    if config.patch_proj == "clip" and patch != frame:
        raise ValueError(
            f"patches have width {patch}, frames {frame}: config.patch_proj='clip' reads patches "
            "that went through the frame's projection; set it to raw for others."
        )


def _parts(config: Config) -> tuple[str, ...]:
    """The parts of the queries that the losses read beside the full queries."""
    if config.vdi.vc and config.vc.probe == "static":
        return ("dynamic", "static")
    return ("dynamic",) if config.vdi.vc or config.vdi.sd else ()


def _hides_by_embedding(config: Config) -> bool:
    return bool(_parts(config)) and config.text.query_mask_mode == "learned"


def _sentences(
    networks: Networks, params: Params, batch: VideoBatch, key: Array | None
) -> dict[str, Array]:
    """Features (T, D) of the full queries and of the parts that are read, all in one pass."""
    parts = _parts(networks.config)
    tokens = jnp.concatenate([batch.tokens, *(getattr(batch, f"{p}_tokens") for p in parts)])
    mask = jnp.concatenate([batch.token_mask, *(getattr(batch, f"{p}_mask") for p in parts)])
    replacement = None
    if _hides_by_embedding(networks.config):
        hidden = tokens == networks.mmn.vocabulary
        tokens, replacement = jnp.where(hidden, 0, tokens), (hidden, params["hidden_word"])
    found = networks.mmn.apply(
        as_variables(params), tokens, mask, key, replacement, method="sentences"
    )
    of_parts = jnp.split(cast(Array, found), 1 + len(parts))
    return dict(zip(("full", *parts), of_parts, strict=True))


def _context_inputs(config: Config, features: Mapping[str, Array], batch: VideoBatch) -> tuple:
    """What VisualContext reads, but for its key."""
    probe = features.get(config.vc.probe)
    if config.vc.stop_grad == "probe":
        probe = jax.lax.stop_gradient(probe)
    return features["dynamic"], probe, batch.video, batch.owner


def _loss(
    networks: Networks, params: Params, batch: VideoBatch, key: Array, progress: Progress
) -> Losses:
    """VDI, Eq. 11: MMN's loss + 0.5 L^vc + 0.01 L^sd; `statistics` are the new running statistics.

    With vdi.schedule "alternate" the text encoder learns from L^vc and L^sd alone, and MMN takes
    its features as they are (VDI D10).
    """
    config, variables = networks.config, as_variables(params)
    text_key, *keys = jax.random.split(key, 3)
    features = _sentences(networks, params, batch, text_key)
    full = features["full"]
    if config.vdi.schedule == "alternate":
        full = jax.lax.stop_gradient(full)
    queries = cast(Joint, networks.mmn.apply(variables, full, method="queries"))
    cells, new = networks.mmn.apply(
        variables, batch.video, batch.weight, True, method="maps", mutable=["batch_stats"]
    )
    terms, watched = mmn.objective(config, batch, cells, queries, progress.epoch)
    terms |= _injection(networks, params, features, batch, keys)
    return Losses(terms, watched, new["batch_stats"])


def _injection(
    networks: Networks, params: Params, features: Mapping[str, Array], batch: VideoBatch, keys
) -> LossTerms:
    """0.5 L^vc and 0.01 L^sd, each where the config asks for it, over the whole batch."""
    config, terms = networks.config, {}
    dynamic_ok = cast(Array, batch.dynamic_ok)  # where there is one of the two terms
    if config.vdi.vc:
        found = networks.context.apply(
            {"params": params["visual_context"]},
            *_context_inputs(config, features, batch),
            keys[0],
        )
        query, context = cast(tuple[Array, Array], found)
        if config.vc.stop_grad == "target":
            context = jax.lax.stop_gradient(context)
        weight = batch.query_weight * (cast(Array, batch.static_ok) & dynamic_ok)
        total, count = visual_context_loss(query, context, weight, config.vc.reduction)
        terms["visual_context"] = (config.vc.weight * total, count)
    if config.vdi.sd:
        found = networks.dynamics.apply(
            {"params": params["spatial_dynamics"]},
            features["dynamic"],
            batch.patches,
            batch.patch_cls,
            keys[1],
        )
        moves = cast(Dynamics, found)
        video = moves.video if config.sd.train_visual else jax.lax.stop_gradient(moves.video)
        weight = batch.query_weight * dynamic_ok
        total, count = spatial_dynamic_loss(
            video, moves.query, batch.owner, weight, config.sd.same_video
        )
        terms["spatial_dynamic"] = (config.sd.weight * total, count)
    return terms


SYSTEM = dataclasses.replace(
    mmn.SYSTEM,
    name="vdi",
    paper="Luo et al., CVPR 2023",
    build=build,
    domains=domains,
    ranges=mmn.RANGES | _RANGES,
)
