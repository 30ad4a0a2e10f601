"""What a run says of its data and its model before the first step."""

from collections.abc import Mapping

import jax
import numpy as np
from rich.console import Console

from vmr_jax import models
from vmr_jax.data.batches.domain import Domain
from vmr_jax.data.batches.splits import HOLDOUT, rows_of
from vmr_jax.data.tables.dataset import Dataset
from vmr_jax.types import Config

_CLIP_SLACK = 0.1  # share by which a dataset's clips may differ from config.clip_seconds in silence


def print_run_summary(
    config: Config,
    domains: Mapping[str, Domain],
    parameters: int,
    last_step: int,
    console: Console,
) -> None:
    """Print each domain with what is cut, changed or not read of it, and the size of the run."""
    for role, domain in domains.items():
        each = sum(part.nbytes for part in jax.tree.leaves(domain.blank(1)))
        size = len(domain.video_row) * each / 2**20
        console.print(
            f"{role}: {domain.dataset.name}, {len(domain.pairs.video):,} pairs over "
            f"{len(domain.video_row):,} videos, {'with' if config[role].labels else 'without'} "
            f"boundaries, {size:,.0f} MiB of features"
        )
        for remark in _remarks(config, domain):
            console.print(f"  {remark}")
    console.print(
        f"{models.of(config).shown}: {parameters:,} parameters, {last_step:,} steps of "
        f"{config.batch_size} {models.of(config).batch}{' a domain' * (len(domains) > 1)} on "
        f"{jax.device_count()} {jax.default_backend()} "
        f"device{'s' * (jax.device_count() > 1)}, {config.precision}"
    )


def print_selection(
    config: Config, role: str, dataset: Dataset, split: str, console: Console
) -> None:
    """Print which split of a role's dataset chooses the checkpoint, and how many queries it has."""
    name, rows = rows_of(config, dataset, split, role)
    count = len(dataset.splits[name].query_id) if rows is None else len(rows)
    kept = " of training videos, which are kept out of training" if split == HOLDOUT else ""
    console.print(
        f"the checkpoint is chosen by {models.of(config).selected_by} on "
        f"{dataset.name} / {split}: {count:,} queries{kept}"
    )


def _remarks(config: Config, domain: Domain) -> list[str]:
    """What a user would not expect of a domain, a sentence each."""
    remarks, spec = [], domain.spec
    if domain.dataset.fitted_subtitles:
        remarks.append(
            f"{domain.dataset.fitted_subtitles:,} videos have a row of subtitles too many or "
            "too few: it is cut, or filled with zeros"
        )
    if spec.sub_dim and "sub" not in config.get("modalities", ()):
        remarks.append("its subtitles are not read by this system with these settings")
    native = domain.dataset.videos.num_clips[domain.video_row]
    cut = int((native > spec.max_clips).sum())
    if cut and domain.sampling == "cut":
        remarks.append(
            f"{cut:,} videos are longer than max_clips={spec.max_clips}: their last "
            "clips are left out"
        )
    if "clip_seconds" in config:
        seconds = float(np.median(domain.pairs.duration / native))
        if abs(seconds / config.clip_seconds - 1) > _CLIP_SLACK:
            remarks.append(
                f"a clip lasts {seconds:.3g} s by durations and features, but clip_seconds is "
                f"{config.clip_seconds:g}, so that moments come to lie on other clips: set "
                f"--config.clip_seconds={seconds:.3g}"
            )
    if "max_l" in config.get("infer", {}):
        length = domain.pairs.span[:, 1] - domain.pairs.span[:, 0]
        long = int((length > config.infer.max_l).sum())
        if long:
            remarks.append(
                f"{long:,} moments are longer than the {config.infer.max_l + 1} clips of "
                f"infer.max_l={config.infer.max_l} and cannot be found whole: "
                f"--config.infer.max_l={length.max()} reaches the longest"
            )
    if domain.cut_queries:
        remarks.append(
            f"{domain.cut_queries:,} queries are longer than max_words={spec.max_words}: "
            "their last words are left out"
        )
    if domain.unknown_words:
        remarks.append(
            f"{domain.unknown_words:,} words are not in the text encoder's vocabulary: they "
            "are read as unknown"
        )
    return remarks
