"""The ranges of a config's numbers, checked before any data are read."""

import math
from collections.abc import Iterator, Mapping
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


COUNT, NOT_NEGATIVE, POSITIVE = Range(1), Range(0), Range(0, open=True)
SHARE, DROPPED = Range(0, 1), Range(0, 1, below=True)

# What the house reads, and blocks of several systems; Description.ranges has a system's own. Of a
# tuple each entry. Those of `source` are those of `target`; those of another system's config inside
# of this one (PREM's first.retriever) are its own.
RANGES = {
    "seed": Range(0, 2**32 - 1),
    **dict.fromkeys(
        (
            "batch_size",
            "checkpoint_every",
            "data.prefetch",
            "dim",
            "epochs",
            "eval.batch_size",
            "eval.top_k",
            "heads",
            "joint_dim",
            "keep_checkpoints",
            "log_every",
            "map.clips",
            "map.kernel",
            "map.layers",
            "mmd.elements",
            "target.max_clips",
            "target.max_words",
        ),
        COUNT,
    ),
    "data.queries_per_video": Range(1, 2),
    **dict.fromkeys(
        (
            "data.threads",
            "eval_every",
            "map.pooling_counts",
            "optimizer.grad_clip",
            "optimizer.learning_rate",
            "optimizer.milestones",
            "optimizer.slow.factor",
            "optimizer.slow.freeze_epochs",
            "optimizer.weight_decay",
            "patience",
        ),
        NOT_NEGATIVE,
    ),
    "mmd.gamma": POSITIVE,
    **dict.fromkeys(("eval.nms", "iou.max", "iou.min", "optimizer.warmup"), SHARE),
    **dict.fromkeys(
        (
            "dropout",
            "optimizer.betas",
            "target.feature_dropout",
            "target.query_dropout",
        ),
        DROPPED,
    ),
}


def check_ranges(config: Config, own: Mapping[str, Range]) -> None:
    """Raise ValueError for a number outside of its range, with the key, the value and the range.

    `own` are those of the config's system. Keys without a range are the system's to check.
    """
    ranges = RANGES | dict(own)
    for key, value in numbers_of(config):
        allowed = ranges.get(declared_key(key))
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
    """The key of the ranges that stands for a config's key."""
    return key.removeprefix("first.retriever.").replace("source.", "target.", 1)
