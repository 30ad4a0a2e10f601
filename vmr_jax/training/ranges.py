"""The range of every numeric key of a config, checked before any data are read."""

import math
from collections.abc import Iterator
from numbers import Real
from typing import NamedTuple

from vmr_jax.overrides import flattened
from vmr_jax.types import Config


class Range(NamedTuple):
    """From `low` to `high`; an `open` end is not in it, infinity never is."""

    low: float
    high: float = math.inf
    open: bool = False  # above `low` and, where it is finite, up to `high`; False: from `low`
    below: bool = False  # below `high`

    def holds(self, value: float) -> bool:
        """Tell whether a value lies in it; NaN does not."""
        above = value > self.low if self.open else value >= self.low
        return bool(above and (value < self.high if self._ends_before() else value <= self.high))

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.open else f"at least {self.low:g}"
        if math.isinf(self.high):
            return low
        return f"{low} and {'below' if self.below else 'at most'} {self.high:.10g}"

    def _ends_before(self) -> bool:
        return self.below or math.isinf(self.high)


_COUNT, _NOT_NEGATIVE, _POSITIVE = Range(1), Range(0), Range(0, open=True)
_SHARE, _DROPPED = Range(0, 1), Range(0, 1, below=True)

# Of a tuple each entry. Those of `source` are those of `target`; those of another system's config
# inside of this one (PREM's first.retriever) are its own.
RANGES = {
    "seed": Range(0, 2**32 - 1),
    **dict.fromkeys(
        (
            "attn.heads",
            "batch_size",
            "cascade_repeat",
            "checkpoint_every",
            "contrastive.positives",
            "data.prefetch",
            "decoder_layers",
            "dim",
            "encoder_layers",
            "epochs",
            "eval.batch_size",
            "eval.top_k",
            "first.retrieve",
            "first.top",
            "heads",
            "hidden",
            "infer.keep",
            "input.layers",
            "joint_dim",
            "keep_checkpoints",
            "lc.max_pos",
            "log_every",
            "map.clips",
            "map.dim",
            "map.kernel",
            "map.layers",
            "mmd.elements",
            "most_moments",
            "negatives",
            "position_rows",
            "proposals.frames_per_clip",
            "proposals.stride",
            "proposals.widths",
            "slots",
            "target.max_clips",
            "target.max_words",
            "target.stride",
            "target.windows",
        ),
        _COUNT,
    ),
    "data.queries_per_video": Range(1, 2),
    **dict.fromkeys(
        (
            "contrastive.epsilon",
            "contrastive.full_epochs",
            "contrastive.group_size",
            "contrastive.margin",
            "contrastive.weight",
            "cost.iou",
            "cost.label",
            "cost.span",
            "data.threads",
            "eval_every",
            "infer.beta",
            "infer.eta",
            "infer.max_l",
            "infer.min_l",
            "lambdas.align",
            "lambdas.ca",
            "lambdas.da",
            "lambdas.domain",
            "lambdas.f",
            "lambdas.r",
            "lambdas.sa",
            "lambdas.vid",
            "lc.weight",
            "map.edges",
            "map.pooling_counts",
            "margin",
            "optimizer.grad_clip",
            "optimizer.learning_rate",
            "optimizer.milestones",
            "optimizer.slow.factor",
            "optimizer.slow.freeze_epochs",
            "optimizer.weight_decay",
            "patience",
            "sa.margin",
            "saliency.margin",
            "saliency.weight",
            "score.power",
            "score.video_weight",
            "sd.weight",
            "target.patch_frames",
            "vc.weight",
            "weak_weight",
            "weights.iou",
            "weights.label",
            "weights.nothing",
            "weights.span",
        ),
        _NOT_NEGATIVE,
    ),
    **dict.fromkeys(
        (
            "ca.attention",
            "ca.temperature",
            "clip_seconds",
            "contrastive.tau_s",
            "contrastive.tau_v",
            "mmd.gamma",
            "temperature",
        ),
        _POSITIVE,
    ),
    **dict.fromkeys(("eval.nms", "iou.max", "iou.min", "optimizer.warmup"), _SHARE),
    **dict.fromkeys(
        (
            "dropout",
            "input.dropout",
            "optimizer.betas",
            "target.feature_dropout",
            "target.query_dropout",
            "vdi.dropout",
        ),
        _DROPPED,
    ),
}


def check_ranges(config: Config) -> None:
    """Raise ValueError for a number outside of its range, with the key, the value and the range.

    Keys that are not in RANGES, those of systems of outside packages, are theirs to check.
    """
    for key, value in numbers_of(config):
        allowed = RANGES.get(declared_key(key))
        if allowed is None:
            continue
        for number in value if isinstance(value, tuple | list) else (value,):
            if isinstance(number, Real) and not allowed.holds(float(number)):
                raise ValueError(f"config.{key}={value!r}: it must be {allowed}")


def numbers_of(config: Config) -> Iterator[tuple[str, object]]:
    """The dotted keys of a config whose values are numbers or tuples that hold some."""
    for key, value in flattened(config).items():
        entries = value if isinstance(value, tuple | list) else (value,)
        if any(isinstance(x, Real) and not isinstance(x, bool) for x in entries):
            yield key, value


def declared_key(key: str) -> str:
    """The key of RANGES that stands for a config's key."""
    return key.removeprefix("first.retriever.").replace("source.", "target.", 1)
