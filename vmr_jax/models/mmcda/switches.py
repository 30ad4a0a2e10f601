"""The switches of MMCDA: what they may be, and which terms of the loss they leave."""

from collections.abc import Mapping

from vmr_jax.layers.moment_map import map_cells
from vmr_jax.losses.mmd import KERNELS, SAMPLES
from vmr_jax.models.ranges import COUNT, NOT_NEGATIVE, POSITIVE
from vmr_jax.models.switches import (
    PRECISIONS,
    check_choices,
    check_dropout,
    check_edges,
    check_heads,
    check_iou_labels,
    check_same_widths,
)
from vmr_jax.types import Config, DataSpec

POINTS = ("video", "query", "fused")
CHOICES = {
    "precision": PRECISIONS,
    "supervision": ("source", "target"),
    "joint_clips": ("encoded", "projected"),
    "joint_words": ("encoded", "given"),
    "video_encoder": ("transformer", "bigru"),
    "position": ("learned", "sinusoidal"),
    "base": ("span", "map2d"),
    "da.kind": ("mmd", "adversarial", "coral"),
    "sa.neg": ("mean", "hardest"),
    "infer.similar": ("contrast", "sum"),
    "mmd.samples": SAMPLES,
    "mmd.kernel": KERNELS,
}
RANGES = {
    **dict.fromkeys(("map.dim", "position_rows"), COUNT),
    **dict.fromkeys(
        (
            "infer.beta",
            "infer.eta",
            "infer.threshold",
            "lambdas.ca",
            "lambdas.da",
            "lambdas.sa",
            "sa.margin",
        ),
        NOT_NEGATIVE,
    ),
    **dict.fromkeys(("ca.attention", "ca.temperature"), POSITIVE),
}
# Terms that train the joint space of clips and sentences
_JOINT = {
    "source_pairs",
    "target_pairs",
    "target_modalities",
    "frames",
    "frame_ranking",
    "instances",
}
# Terms that train the projection of the target's videos
_TARGET = {
    "domain_video",
    "domain_fused",
    "target_pairs",
    "target_modalities",
    "instances",
    "pseudo",
}


def terms(config: Config) -> frozenset[str]:
    """The terms that a run adds to L_loc, by what its switches leave on; a factor of 0 is off."""
    on = {name: config.modules[name] and config.lambdas[name] > 0 for name in config.modules}
    pairs = config.target_pairs
    of_labels = {
        "source_pairs": on["ca"] and config.ca.source,
        "frames": on["sa"] and config.sa.m7,
        "frame_ranking": on["sa"] and config.sa.m8,
    }
    of_both = {f"domain_{point}": on["da"] for point in config.da.points} | {
        "target_pairs": on["ca"] and config.ca.target_pairs and pairs,
        "target_modalities": on["ca"] and config.ca.target_mmd,
        "instances": on["sa"] and config.sa.m9 and pairs,
        "pseudo": config.pseudo_labels,
    }
    if config.supervision == "target":
        table = of_labels if config.align_target else {}
    else:
        table = of_labels | of_both
    return frozenset(name for name, wanted in table.items() if wanted)


def has_joint_space(config: Config) -> bool:
    """Whether a term trains the joint space; else there is none, and no similarity at test."""
    return bool(terms(config) & _JOINT)


def check(config: Config) -> None:
    """Raise ValueError for a value that no switch has, and for switches that contradict."""
    check_choices(config, CHOICES)
    check_heads(config)
    check_dropout(config)
    _check_numbers(config)
    points = config.da.points
    if not isinstance(points, (tuple, list)) or not points or set(points) - set(POINTS):
        raise ValueError(
            f"config.da.points={points!r}: give a tuple of {', '.join(POINTS)}, at least one, such "
            "as --config.da.points=\"('video', 'query')\"; config.modules.da=False leaves out all."
        )
    if not config[config.supervision].labels:
        raise ValueError(
            f"config.{config.supervision}.labels=False: with config.supervision="
            f"{config.supervision!r} MMCDA learns from its boundaries, set it to True."
        )
    if config.pseudo_labels and not config.target_pairs:
        raise ValueError(
            "config.pseudo_labels=True finds moments of the target's pairs, which "
            "config.target_pairs=False says there are none of: turn one of them off."
        )
    if config.pseudo_labels and config.supervision == "target":
        raise ValueError(
            "config.pseudo_labels=True teaches a target without labels, but "
            "config.supervision='target' learns from the target's labels: turn one of them off."
        )
    if not (config.share_encoders or config.supervision == "target" or terms(config) & _TARGET):
        raise ValueError(
            "config.share_encoders=False: no term of the loss trains the target's own projection. "
            "Use True, or leave a term on that reads the target's videos."
        )
    check_edges(config)
    if config.base == "map2d":
        if config.edges:
            raise ValueError(
                f"config.edges={tuple(config.edges)!r} with config.base='map2d': only the heads of "
                "base='span' read them, leave one of the two."
            )
        map_cells(config.map)
        check_iou_labels(config)


def check_specs(config: Config, specs: Mapping[str, DataSpec]) -> None:
    """Raise ValueError for features and videos that the network of `config` cannot take."""
    check_same_widths(specs, ("word_dim",), "Use the same word vectors.")
    if config.share_encoders:
        advice = "Use the same kind of features, or config.share_encoders=False."
        check_same_widths(specs, ("video_dim",), advice)
    learned = config.video_encoder == "transformer" and config.position == "learned"
    for role, spec in reversed(list(specs.items())):  # an evaluation has the target's for both
        if learned and spec.max_clips > config.position_rows:
            raise ValueError(
                f"config.{role}.max_clips={spec.max_clips} clips do not fit config.position_rows="
                f"{config.position_rows}: lower it, or train with as many rows."
            )


def _check_numbers(config: Config) -> None:
    """Refuse sizes, temperatures and factors that make no loss."""
    if config.dim % 2:
        raise ValueError(f"config.dim={config.dim}: a GRU of two directions needs an even one.")
    for path in ("ca.temperature", "ca.attention"):
        block, name = path.split(".")
        if config[block][name] <= 0:
            raise ValueError(f"config.{path}={config[block][name]}: use more than 0.")
    for name, value in config.lambdas.items():
        if value < 0:
            raise ValueError(f"config.lambdas.{name}={value}: use 0 or more.")
