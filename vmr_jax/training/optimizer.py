"""The optimiser that a config names."""

import re
from collections.abc import Hashable

import jax
import jax.numpy as jnp
import optax

from vmr_jax.training.steps import Pace
from vmr_jax.types import Array

NAMES = ("adam", "adamw", "adamw_linear")
SCHEDULES = ("linear", "constant")

_Groups = dict[Hashable, optax.GradientTransformation]


def make_optimizer(settings, pace: Pace) -> optax.GradientTransformation:
    """The optimiser of a config's `optimizer` block; `grad_clip` > 0 clips the global norm.

    "adam" has `warmup` and `schedule`, see `warmed_up`. "adamw" has `betas`, `weight_decay`,
    `milestones` (epochs done, after each of which the rate falls to a tenth) and `slow`: parameters
    whose path fits `pattern` learn at `factor` of the rate, and not at all in the first
    `freeze_epochs`. "adamw_linear" has `betas`, `weight_decay`, `warmup` and `schedule`.
    Raises ValueError for an unknown name or schedule, and for a `warmup` out of range.
    """
    if settings.name not in NAMES:
        raise ValueError(f"optimizer.name is {settings.name!r}; it must be one of {NAMES}")
    clip = optax.clip_by_global_norm(settings.grad_clip) if settings.grad_clip else optax.identity()
    if settings.name == "adam":
        moves = settings.warmup > 0 or settings.schedule != "constant"
        rate = warmed_up(settings, pace.steps) if moves else settings.learning_rate
        adam = optax.adam(rate)
        return optax.chain(clip, adam) if settings.grad_clip else adam
    if settings.name == "adamw_linear":
        rate = warmed_up(settings, pace.steps)
        return optax.chain(
            clip, optax.adamw(rate, *settings.betas, weight_decay=settings.weight_decay)
        )
    slow = settings.slow

    def labels(params):
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "slow" if _fits(slow.pattern, path) else "base", params
        )

    def later(inner: optax.GradientTransformation) -> optax.GradientTransformation:
        """Nothing before the group is thawed; its moments start there."""
        frozen_steps = slow.freeze_epochs * pace.steps_per_epoch
        return optax.conditionally_mask(inner, lambda step, **_: step >= frozen_steps)

    thaw: _Groups = {
        "base": optax.identity(),
        "slow": later(optax.identity()),
    }
    groups: _Groups = {
        "base": _adamw(settings, pace),
        "slow": later(_adamw(settings, pace, slow.factor, slow.freeze_epochs)),
    }
    return optax.chain(optax.partition(thaw, labels), clip, optax.partition(groups, labels))


def warmed_up(settings, steps: int | Array) -> optax.Schedule:
    """The learning rate at each of `steps` steps, counted from 0; their number may be traced.

    It rises linearly from 0 in the first `warmup` of all steps; then with `schedule` "linear" it
    falls linearly to 0 at the end, with "constant" it stays. Raises ValueError as make_optimizer.
    """
    if settings.schedule not in SCHEDULES:
        raise ValueError(
            f"optimizer.schedule is {settings.schedule!r}; it must be one of {SCHEDULES}"
        )
    if not 0 <= settings.warmup < 1:
        raise ValueError(
            f"optimizer.warmup={settings.warmup} is the share of the steps in which the learning "
            "rate rises: use at least 0 and less than 1"
        )
    warmup = jnp.round(settings.warmup * steps)
    falls = settings.schedule == "linear"

    def rate(step) -> Array:
        risen = step / jnp.maximum(warmup, 1)
        fallen = (step - warmup) / jnp.maximum(steps - warmup, 1) if falls else 0.0
        share = jnp.where(step < warmup, risen, jnp.maximum(1 - fallen, 0))
        return settings.learning_rate * share

    return rate


def _fits(pattern: str, path) -> bool:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return bool(pattern) and re.search(pattern, name) is not None


def _adamw(
    settings, pace: Pace, factor: float = 1.0, first_epoch: int = 0
) -> optax.GradientTransformation:
    """AdamW from `first_epoch` on, with a rate that falls to a tenth after each milestone."""
    falls = {(m - first_epoch) * pace.steps_per_epoch: 0.1 for m in settings.milestones}
    rate = optax.piecewise_constant_schedule(factor * settings.learning_rate, falls)
    return optax.adamw(rate, *settings.betas, weight_decay=settings.weight_decay)
