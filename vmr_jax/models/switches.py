"""What the switches of a config may be, and what several systems ask of theirs alike."""

import functools
from collections.abc import Collection, Mapping
from typing import Any

import jax.numpy as jnp

from vmr_jax.types import Config, DataSpec

PRECISIONS = ("float32", "bfloat16")


def check_choices(config: Config, choices: Mapping[str, Collection]) -> None:
    """Raise ValueError for a key, dotted, whose value is not one of its choices."""
    for path, allowed in choices.items():
        value = _value(config, path)
        if value not in allowed:
            raise ValueError(f"config.{path}={value!r}: use one of {', '.join(map(str, allowed))}.")


def check_heads(config: Config, path: str = "heads") -> None:
    """Raise ValueError for a number of heads, at a dotted key, that does not divide the width."""
    heads = _value(config, path)
    if heads < 1 or config.dim % heads:
        raise ValueError(f"config.{path}={heads} does not divide config.dim={config.dim}.")


def check_dropout(config: Config) -> None:
    """Raise ValueError for a dropout that is no rate."""
    if not 0 <= config.dropout < 1:
        raise ValueError(f"config.dropout={config.dropout}: use a rate of at least 0, below 1.")


def check_iou_labels(config: Config) -> None:
    """Raise ValueError for IoUs between which no labels can be scaled."""
    if not 0 <= config.iou.min < config.iou.max:
        raise ValueError(
            f"config.iou.min={config.iou.min} and config.iou.max={config.iou.max} scale no label: "
            "use 0 <= min < max."
        )


def check_same_widths(specs: Mapping[str, DataSpec], names: Collection[str], advice: str) -> None:
    """Raise ValueError where source and target differ in a size of `names`; says what to do."""
    if len(specs) < 2:
        return
    for name in names:
        source, target = getattr(specs["source"], name), getattr(specs["target"], name)
        if source != target:
            raise ValueError(
                f"{name} is {source} in the source and {target} in the target, but one projection "
                f"serves both. {advice}"
            )


def compute_dtype(config: Config) -> Any:
    """What matrix products are computed in; parameters, softmax and losses are float32."""
    return jnp.dtype(config.precision)


def _value(config: Config, path: str) -> Any:
    """What stands at a dotted key."""
    return functools.reduce(lambda part, name: part[name], path.split("."), config)


def check_edges(config: Config) -> None:
    """Refuse `config.edges` that are no widths in clips."""
    widths = config.edges
    if not isinstance(widths, (tuple, list)) or not all(
        isinstance(width, int) and width > 0 for width in widths
    ):
        raise ValueError(
            f"config.edges={widths!r}: give a tuple of widths in clips, each at least 1, such as "
            '--config.edges="(1, 2, 4)", or () for none.'
        )
