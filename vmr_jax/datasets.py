"""A config's datasets: prepared ones are read, embedded ones are made where they are missing."""

from collections.abc import Callable, Sequence

import jax
from jax.experimental import multihost_utils

from vmr_jax.data.batches.domain import Domain, make_domain
from vmr_jax.data.batches.splits import (
    TRAINED,
    VAL_OR_HOLDOUT,
    asked_part,
    rows_of,
    seeks_split,
    settle_selection,
)
from vmr_jax.data.batches.words import masks_queries
from vmr_jax.data.tables.dataset import Dataset, load_dataset
from vmr_jax.simulation import embedded
from vmr_jax.types import Config


def open_dataset(
    settings: Config,
    data_dir: str,
    *,
    with_chunks: bool = False,
    patch_name: str = "",
    reads_words: bool = True,
    verify: bool = True,
) -> Dataset:
    """Load a domain block's dataset; the embedded ones are made where they are missing.

    Subtitles and query features come where the block names them; noun chunks and patches, which
    only training needs, where they are asked for. Whether the run `reads_words`, and not only their
    token ids, is for the advice where something is missing. Raises as `embedded.check_features` and
    `dataset.load_dataset`.
    """
    subtitles = settings.get("subtitles", "")  # checkpoints of older versions name none
    if settings.dataset in embedded.EMBEDDED:
        for name in filter(None, (settings.features, subtitles, patch_name)):
            embedded.check_features(settings.dataset, name)
        _first_then_others(
            lambda: embedded.build_simulated(data_dir, settings.dataset, patches=bool(patch_name))
        )
    return load_dataset(
        data_dir,
        settings.dataset,
        settings.features,
        with_chunks=with_chunks,
        patch_name=patch_name,
        subtitle_name=subtitles,
        query_feature_name=settings.get("query_features", ""),
        reads_words=reads_words,
        verify=verify,
    )


def training_dataset(config: Config, role: str) -> Dataset:
    """The dataset of a role with all that training reads. Raises as `open_dataset`."""
    settings = config[role]
    return open_dataset(
        settings,
        config.data_dir,
        with_chunks=masks_queries(config.get("text")),
        patch_name=settings.get("patches", ""),
        reads_words=not config.get("text"),
        verify=_verified(config),
    )


def with_selection(config: Config, chooser: str) -> Config:
    """The config with the split of the `chooser` that chooses the checkpoint.

    The data are read where the config does not name it. See `settle_selection`; raises as
    `open_dataset`.
    """
    if config.select != VAL_OR_HOLDOUT and not seeks_split(config, chooser):
        return config
    splits = {}
    if seeks_split(config, chooser):
        splits = open_dataset(
            config[chooser], config.data_dir, reads_words=not config.get("text"), verify=False
        ).splits
    return settle_selection(config, chooser, splits)


def training_domains(
    config: Config, roles: Sequence[str], chooser: str = "target"
) -> dict[str, Domain]:
    """The training split of each role; of the `chooser` without what `select="holdout"` keeps."""
    domains, text = {}, config.get("text")
    for role in roles:
        settings, dataset, rows = config[role], training_dataset(config, role), None
        if role == chooser:
            _, rows = rows_of(config, dataset, TRAINED, role)
        domains[role] = make_domain(dataset, settings.train_split, settings, rows, text)
    return domains


def evaluation_dataset(config: Config, role: str = "target") -> Dataset:
    """A role's dataset for `splits.evaluation_domain`. Raises as it and `open_dataset` do."""
    with_chunks = asked_part(config) != "full"
    return open_dataset(
        config[role],
        config.data_dir,
        with_chunks=with_chunks,
        reads_words=not config.get("text"),
        verify=_verified(config),
    )


def _verified(config: Config) -> bool:
    """Whether files are compared with what was written; older checkpoints do not say."""
    return config.data.get("verify", True)


def _first_then_others(build: Callable[[], None]) -> None:
    """Run `build` on process 0, then on the others, which find it done if they share the disk."""
    if jax.process_count() == 1:
        build()
        return
    if jax.process_index() == 0:
        build()
    multihost_utils.sync_global_devices("built by process 0")
    if jax.process_index() != 0:
        build()
    multihost_utils.sync_global_devices("built by all")
