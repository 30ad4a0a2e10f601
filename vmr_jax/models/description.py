"""What the rest of the house must know of a system: one typed, frozen description."""

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from vmr_jax.layers.moment_map import Cells
from vmr_jax.models.merge_params import merge_params
from vmr_jax.models.ranges import Range
from vmr_jax.types import Array, Config, DataSpec, Params, Queries, System

Kind = Literal["moments", "retriever", "localizer"]
BatchForm = Literal["pairs", "videos", "candidates"]
Epoch = Literal["last", "largest"]
Specs = Mapping[str, DataSpec]  # a domain's name -> the sizes of its batches

# Common keys of a config that not every system reads, see Description.reads.
OPTIONAL_KEYS = ("precision", "eval.top_k", "eval.nms", "eval.clip_to_duration")
# ... and those that the house reads for some systems alone.
_OF_PAIRS = ("data.queries_per_video",)
_OF_MOMENTS = ("metric.iou_cmp", "metric.drop_invalid_gt", "metric.discounted", "metric.didemo")
_OF_SUBTITLES = ("source.subtitles", "target.subtitles")
_METRIC = re.compile(r"((VR|SVMR|VCMR)/)?(d?R@\d+(,IoU=[\d.]+)?|SumR|mIoU|rank@[15])")


def _only_target(_: Config) -> str:
    return "target"


def _none(_: Config) -> None:
    return None


def _same(config: Config, _: Path) -> Config:
    return config


def _merge(_: Config, params: Params, restored: Params) -> Params:
    return merge_params(params, restored)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Description:
    """A system beside its pure functions, which `build` makes for the sizes of the data.

    Raises ValueError where a field has another value than its type allows, or names no common key.
    """

    name: str  # what config.system says
    paper: str  # authors and venue
    supervision: str  # what training sees of the videos, in a few words
    kind: Kind
    # Raises ValueError for sizes that do not fit.
    build: Callable[[Config, Specs], System]
    # The domains that a run trains on; the last one is evaluated. Raises ValueError for a bad
    # switch, so that it is refused before data are read.
    domains: Callable[[Config], tuple[str, ...]]
    title: str = ""  # in the place of the name wherever a result is shown
    batch: BatchForm = "pairs"  # videos: with all their queries; candidates: several a query
    epoch: Epoch = "last"  # which domain's pairs make an epoch: the last one's, or the largest's
    selected_by: str = "R@1,IoU=0.5"  # the metric of the selection split
    readout: tuple[str, ...] = ()  # blocks of the config that an evaluation may change
    reads: tuple[str, ...] = ()  # those of OPTIONAL_KEYS that the functions read
    # Of its own numeric keys, beside those of models/ranges.py
    ranges: Mapping[str, Range] = dataclasses.field(default_factory=dict)
    subtitles: bool = False  # whether they read the subtitles of a batch, where the config has them
    saliency: bool = False  # whether `predict` tells how salient each clip is, for a figure
    words_show: str = "attention weight"  # what AttentionMap.words holds
    # (config, sizes, params, queries) -> how much each word counts for each modality (B, J, M), of
    # a system with such a figure
    word_weights: Callable[[Config, DataSpec, Params, Queries], Array] | None = None
    # The domain whose labels may choose a checkpoint
    chooser: Callable[[Config], str] = _only_target
    # The cells of the 2D map that `predict` ranks, if it ranks such
    moment_map: Callable[[Config], Cells | None] = _none
    # The run whose parameters this one starts from
    pretraining: Callable[[Config], Config | None] = _none
    # The run that has to be trained before this one, which reads it
    first_run: Callable[[Config], Config | None] = _none
    # The config that reads its first run in a workdir
    located: Callable[[Config, Path], Config] = _same
    # Fresh parameters, those of another run -> what to start from
    merge: Callable[[Config, Params, Params], Params] = _merge
    # Fresh parameters -> the same with what weight files hold. It reads them, so it runs on the
    # host where a run starts from scratch, and is never traced.
    pretrained: Callable[[Config, Params], Params] | None = None

    def __post_init__(self):
        for field, allowed in (("kind", Kind), ("batch", BatchForm), ("epoch", Epoch)):
            value = getattr(self, field)
            if value not in get_args(allowed):
                raise ValueError(
                    f"system {self.name!r}: {field}={value!r}; it must be one of "
                    f"{', '.join(get_args(allowed))}"
                )
        for field in ("readout", "reads"):
            if isinstance(getattr(self, field), str):
                raise ValueError(f"system {self.name!r}: {field} must be a tuple of names")
        if not _METRIC.fullmatch(self.selected_by):
            raise ValueError(
                f"system {self.name!r}: selected_by={self.selected_by!r} is no metric, such as "
                "R@1,IoU=0.5 or VR/SumR"
            )
        unknown = [key for key in self.reads if key not in OPTIONAL_KEYS]
        if unknown:
            raise ValueError(
                f"system {self.name!r}: reads={unknown} are no optional keys; those are "
                f"{', '.join(OPTIONAL_KEYS)}"
            )

    @property
    def shown(self) -> str:
        """What a result of the system is called."""
        return self.title or self.name

    @property
    def task(self) -> str:
        """What it finds: "moments" in a given video, or videos and moments in a "corpus"."""
        return "moments" if self.kind == "moments" else "corpus"

    @property
    def finds(self) -> str:
        """What it finds, for a list of systems."""
        return {
            "moments": "moments in a video",
            "retriever": "videos in a corpus",
            "localizer": "moments in a corpus",
        }[self.kind]

    @property
    def unread(self) -> tuple[str, ...]:
        """The common keys of a config that nothing reads for this system."""
        unread = [key for key in OPTIONAL_KEYS if key not in self.reads]
        unread += _OF_PAIRS if self.batch != "pairs" else ()
        unread += _OF_MOMENTS if self.kind != "moments" else ()
        unread += () if self.subtitles else _OF_SUBTITLES
        return tuple(unread)

    def refuse_unread(self, config: Config, default: Config) -> None:
        """Raise ValueError for a common key that is not at its default and that nothing reads.

        Also for a `readout` that names no block of the config.
        """
        unknown = [block for block in self.readout if block not in config]
        if unknown:
            raise ValueError(f"system {self.name!r}: readout={unknown} are no blocks of its config")
        for key in self.unread:
            value, usual = _value(config, key), _value(default, key)
            if value not in (usual, None, ""):
                raise ValueError(
                    f"config.{key}={value!r} has no effect: {self.name} does not read it. Leave it "
                    f"at {(usual or '')!r}"
                )


def _value(config: Config, key: str) -> Any:
    """What stands at a dotted key, None where there is none."""
    return functools.reduce(lambda block, name: (block or {}).get(name), key.split("."), config)
