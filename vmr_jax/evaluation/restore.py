"""Read a trained run back from its checkpoints."""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from vmr_jax import models
from vmr_jax.data.batches.normalization import normalization_of
from vmr_jax.training.checkpoint import Checkpoints
from vmr_jax.types import Config, Params

_OF_THE_DATA = ("target", "data_dir", "eval", "metric", "data")
_OF_MMN = {"contrastive.cells": "convolved", "iou.given_match": False, "map.edges": 0}
# Keys that checkpoints of older versions lack, and what held before there was a choice
_ADDED = {
    "eva": {"pretrain_epochs": 0},
    "mmn": _OF_MMN,
    "vdi": _OF_MMN,
    "mmcda": {
        "align_target": False,
        "joint_clips": "encoded",
        "joint_words": "encoded",
        "edges": (),
        "infer.similar": "contrast",
        "infer.threshold": 0.75,
    },
    "prem_localizer": {"edges": ()},
}


class Restored(NamedTuple):
    """A run's best checkpoint."""

    config: Config
    params: Params
    trained: Mapping[str, int]  # the DataSpec of the domain that was trained last
    checkpoint: dict  # {"step", "selected_by"}
    # What made the features of that domain, as of VideoTable; empty: not known
    made_by: Mapping[str, Any]


def restore_run(config: Config | None, directory: Path, given: Iterable[str] = ()) -> Restored:
    """Restore the best checkpoint of a checkpoints directory on this machine's devices.

    The system comes from the checkpoint. The data are the target of `config`, so that a
    checkpoint can be evaluated on a third dataset (EVA, Table 7), or without `config` the
    target it was trained for; with them come the settings that no parameter depends on
    (Description.readout), and where the tokeniser is now. Whether labels were learnt,
    target.labels, and how features are normalised, target.normalize, stay the checkpoint's.
    `given` are the keys of `config` that a user set.

    Raises as `Checkpoints` does, and ValueError where `config` is another system's, or where a
    key of `given` asks for something else than the checkpoint decides, or is not read.
    """
    checkpoints = Checkpoints(directory, read_only=True)
    step = checkpoints.best_step()
    meta = checkpoints.meta(step)
    trained, before = (as_config(meta["config"]) for _ in range(2))
    if config is not None:
        if config.system != trained.system:
            raise ValueError(
                f"{directory} holds a checkpoint of {trained.system}, but --config is of "
                f"{config.system}: use --config=configs/{trained.system}.py, or none at all for "
                "the data that it was trained for"
            )
        for name in (*_OF_THE_DATA, *models.of(config).readout):
            trained[name] = config[name]
        of_network = {"labels": before.target.labels, "normalize": normalization_of(before.target)}
        trained.target = Config(config.target.to_dict() | of_network)
    if config is not None and "text" in trained and "text" in config:
        trained.text.tokenizer = config.text.tokenizer or trained.text.tokenizer
    unread = models.of(trained).unread
    for key in given:
        wanted, decided = _value(config, key), _value(before if key in unread else trained, key)
        if wanted != decided:
            raise ValueError(
                f"--config.{key}={wanted!r} has no effect on an evaluation: the checkpoint was "
                f"trained with {decided!r}. Leave it out, or train with it in another workdir"
            )
    params = checkpoints.restore_params(step)
    checkpoints.close()
    checkpoint = {"step": step, "selected_by": meta["selected_by"]}
    last = models.of(trained).domains(trained)[-1]
    made_by = meta.get("made_by", {}).get(last, {})
    return Restored(trained, params, meta["specs"][last], checkpoint, made_by)


def trained_config(directory: Path) -> Config:
    """The config of the run whose best checkpoint a checkpoints directory holds."""
    checkpoints = Checkpoints(directory, read_only=True)
    meta = checkpoints.meta(checkpoints.best_step())
    checkpoints.close()
    return as_config(meta["config"])


def as_config(found: Mapping[str, Any]) -> Config:
    """A config as it was before it was JSON, with the keys that its version did not have yet."""
    config = Config(_with_tuples(found))
    for key, value in _ADDED.get(config.get("system", ""), {}).items():
        *blocks, name = key.split(".")
        block = functools.reduce(lambda part, name: part[name], blocks, config)
        if name not in block:
            block[name] = value
    return config


def _value(config: Config | None, key: str) -> Any:
    """What stands at a key with dots, None where there is none."""
    value = config
    for part in key.split("."):
        value = value.get(part) if isinstance(value, Config) else None
    return value


def _with_tuples(value: Any) -> Any:
    """A config as it was written: JSON has made lists of its tuples."""
    if isinstance(value, Mapping):
        return {name: _with_tuples(part) for name, part in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
