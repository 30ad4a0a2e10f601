"""Which splits, which of their queries and which videos a config's domain blocks stand for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from vmr_jax.data.batches.domain import Domain, find_split, make_domain
from vmr_jax.data.tables.dataset import Dataset, MomentTable
from vmr_jax.data.text.masking import dynamic_text, static_text
from vmr_jax.types import Config

TRAINED = "trained"  # the name of the part of a training split that is trained on
HOLDOUT = "holdout"  # the name of the part of a training split that chooses checkpoints
VAL_OR_HOLDOUT = "val_or_holdout"  # what select says for a validation split where there is one
_HOLDOUT_SHARE = 0.1
_PARTS = {"static": static_text, "dynamic": dynamic_text}


def asked_part(config: Config) -> str:
    """The part of each query that evaluation asks: full, or static or dynamic (VDI, Fig. 3).

    Raises ValueError for another eval.query, and for a part where the system reads no tokens.
    """
    part = config.eval.get("query", "full")
    if part not in ("full", *_PARTS):
        raise ValueError(f"eval.query is {part!r}; it must be one of {('full', *_PARTS)}")
    if part != "full" and "text" not in config:
        raise ValueError(f"eval.query is {part!r}, but {config.system} reads prepared word vectors")
    return part


def evaluation_domain(config: Config, dataset: Dataset, split: str, role: str = "target") -> Domain:
    """A split of a role's dataset for prediction: boundaries hidden from the batch.

    `holdout` is a part of the training split. With eval.query static or dynamic the sentences are
    those parts of the queries alone, the dataset being loaded with its noun chunks.
    """
    settings = Config(config[role].to_dict() | {"labels": False})
    split, rows = rows_of(config, dataset, split, role)
    part = asked_part(config)
    if part != "full" and split in dataset.splits:
        table = dataset.splits[split]
        if table.chunks is None:
            raise ValueError(f"eval.query is {part!r}: load {dataset.name} with its noun chunks")
        parts = map(_PARTS[part], table.sentence, table.chunks)
        dataset = dataset._replace(
            splits=dataset.splits | {split: table._replace(sentence=tuple(parts))}
        )
    return make_domain(dataset, split, settings, rows, config.get("text"))


def evaluation_corpus(config: Config, dataset: Dataset, split: str) -> Domain:
    """A split of the target for a search in its corpus, see `make_corpus`.

    HOLDOUT and TRAINED are parts of the training split, searched in the videos of that part.
    """
    split, rows = rows_of(config, dataset, split, "target")
    return make_corpus(dataset, split, config.target, rows, config.get("text"))


def corpus_of(dataset: Dataset, split: str, rows: np.ndarray | None = None) -> np.ndarray:
    """The rows (V,) of the videos that queries of a split, or `rows` of them, are about.

    Where the split hides them these are the videos that no query of another split is about, as in
    TVR's public test. Raises ValueError for an unknown split, and where no video is left.
    """
    video = find_split(dataset, split).video
    video = video if rows is None else video[rows]
    found = np.unique(video[video >= 0])
    if (video < 0).any():
        others = [table.video for name, table in dataset.splits.items() if name != split]
        taken = np.concatenate([*others, np.zeros(0, np.int32)])
        found = np.union1d(found, np.setdiff1d(np.arange(len(dataset.videos.video_id)), taken))
    if not len(found):
        raise ValueError(
            f"split {split!r} of dataset {dataset.name} has no videos to search: every video that "
            "is there belongs to another split"
        )
    return found.astype(np.int32)


def make_corpus(
    dataset: Dataset,
    split: str,
    settings: Any,
    rows: np.ndarray | None = None,
    text: Any = None,
) -> Domain:
    """A split's queries, or `rows` of them, and the corpus that they are searched in.

    A corpus is a Domain whose videos are those to search: `video_row` has their rows of the videos
    table, `pairs.num_clips` and `pairs.duration` belong to them, and `pairs.video` is the row among
    them of the video that a query is about, -1 where the split hides it. Ids, sentences and all
    annotators' moments stand in `table`.

    Boundaries are hidden from batches. Raises as `corpus_of` and `make_domain`.
    """
    hidden = Config(settings.to_dict() | {"labels": False})
    return make_domain(dataset, split, hidden, rows, text, corpus=corpus_of(dataset, split, rows))


def rows_of(
    config: Config, dataset: Dataset, split: str, role: str
) -> tuple[str, np.ndarray | None]:
    """What `split` of a role's dataset stands for, and which of its queries; None: all."""
    if split not in (HOLDOUT, TRAINED):
        return split, None
    name = config[role].train_split
    if split == TRAINED and config.select != HOLDOUT:
        return name, None
    held_out = _held_out(dataset, name, config.seed)
    return name, np.flatnonzero(held_out if split == HOLDOUT else ~held_out)


def seeks_split(config: Config, role: str) -> bool:
    """Tell whether select asks for a validation split that the role's block does not name."""
    return config.select in ("val", VAL_OR_HOLDOUT) and not config[role].select_split


def settle_selection(config: Config, role: str, splits: Mapping[str, MomentTable]) -> Config:
    """The config with the split that chooses the checkpoint, of those that a role's dataset has.

    Where the role's block names no select_split it is `val`, if that is there with labels and is
    neither trained on nor reported. VAL_OR_HOLDOUT becomes "val" where there is one, else HOLDOUT.
    """
    settled = config.copy_and_resolve_references()
    settings = settled[role]
    taken = (settings.train_split, _reported(config, role))
    there = "val" in splits and any(map(len, splits["val"].moments))
    if seeks_split(config, role) and there and "val" not in taken:
        settings.select_split = "val"
    if settled.select == VAL_OR_HOLDOUT:
        settled.select = "val" if settings.select_split else HOLDOUT
    return settled


def selection_split(config: Config, role: str = "target") -> str:
    """A role's split that chooses the checkpoint, "" for the last one, of a settled config.

    Raises ValueError for a test split, for a validation split that is not there, and where labels
    would choose that the run must not see.
    """
    settings = config[role]
    if config.select == "last":
        return ""
    if config.select == HOLDOUT:
        if not settings.labels:
            raise ValueError(
                f"select={HOLDOUT!r} would read boundaries of {settings.dataset}'s training videos "
                f"that {role}.labels=False hides: use --config.select=val, where there is a "
                "validation split with labels, or --config.select=last; with "
                f"--config.{role}.labels=True the run says that it may see them"
            )
        return HOLDOUT
    if config.select != "val":
        raise ValueError(
            f"select is {config.select!r}: choose 'last', 'val' (the dataset's validation split), "
            f"'{HOLDOUT}' (a tenth of the training videos) or '{VAL_OR_HOLDOUT}' (the first of the "
            "two that there is); a test split never selects"
        )
    if not settings.select_split:
        other = f"--config.select={HOLDOUT} (a tenth of the training videos) or "
        raise ValueError(
            f"{settings.dataset} has no validation split that is neither trained on nor reported: "
            f"use {other * settings.labels}--config.select=last"
        )
    split, trained = settings.select_split, settings.train_split
    reported = _reported(config, role)
    if not split.startswith("val") or split in (trained, reported):
        raise ValueError(
            f"{role}.select_split is {split!r}, train_split {trained!r}, target.eval_split "
            f"{config.target.eval_split!r}: only a validation split (val...) that is neither "
            "trained on nor reported may choose the checkpoint"
        )
    return split


def _reported(config: Config, role: str) -> str:
    """The reported split, if it is one of the role's dataset."""
    return config.target.eval_split if config[role].dataset == config.target.dataset else ""


def selection_name(config: Config, role: str, split: str) -> str:
    """What a report says chose the checkpoint; a split of another domain has its dataset before."""
    if not split:
        return "last epoch"
    return split if role == "target" else f"{config[role].dataset}/{split}"


def _held_out(dataset: Dataset, split: str, seed: int) -> np.ndarray:
    """(Q,) bool: queries of the tenth of the split's videos that training does not see."""
    video = find_split(dataset, split).video
    videos = np.unique(video)
    count = max(1, round(_HOLDOUT_SHARE * len(videos)))
    return np.isin(video, np.random.default_rng([seed, 10]).permutation(videos)[:count])
