"""The optimiser that a config names."""

import re

import jax
import optax

from vmr_jax.runtime.steps import Pace

NAMES = ("adam", "adamw")


def make_optimizer(settings, pace: Pace) -> optax.GradientTransformation:
    """The optimiser of a config's `optimizer` block; `grad_clip` > 0 clips the global norm.

    "adam" has a constant learning rate. "adamw" has also `betas`, `weight_decay`, `milestones`
    (epochs done, after each of which the rate falls to a tenth) and `slow`: parameters whose path
    fits `pattern` learn at `factor` of the rate, and not at all in the first `freeze_epochs`.
    Raises ValueError for an unknown name.
    """
    if settings.name not in NAMES:
        raise ValueError(f"optimizer.name is {settings.name!r}; it must be one of {NAMES}")
    clip = optax.clip_by_global_norm(settings.grad_clip) if settings.grad_clip else optax.identity()
    if settings.name == "adam":
        adam = optax.adam(settings.learning_rate)
        return optax.chain(clip, adam) if settings.grad_clip else adam
    slow = settings.slow

    def labels(params):
        return jax.tree_util.tree_map_with_path(
            lambda path, _: "slow" if _fits(slow.pattern, path) else "base", params
        )

    def later(inner: optax.GradientTransformation) -> optax.GradientTransformation:
        """Nothing before the group is thawed; its moments start there."""
        frozen_steps = slow.freeze_epochs * pace.steps_per_epoch
        return optax.conditionally_mask(inner, lambda step: step >= frozen_steps)

    thaw = {"base": optax.identity(), "slow": later(optax.identity())}
    groups = {
        "base": _adamw(settings, pace),
        "slow": later(_adamw(settings, pace, slow.factor, slow.freeze_epochs)),
    }
    return optax.chain(optax.partition(thaw, labels), clip, optax.partition(groups, labels))


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
