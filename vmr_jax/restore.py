"""Read a trained run back from its checkpoints."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ml_collections import ConfigDict

from vmr_jax import models
from vmr_jax.runtime.checkpoint import Checkpoints
from vmr_jax.types import Params

_OF_THE_DATA = ("target", "data_dir", "eval", "metric", "data")


class Restored(NamedTuple):
    """A run's best checkpoint."""

    config: ConfigDict
    params: Params
    trained: Mapping[str, int]  # the DataSpec of the domain that was trained last
    checkpoint: dict  # {"step", "selected_by"}


def restore_run(config: ConfigDict | None, directory: Path) -> Restored:
    """Restore the best checkpoint of a checkpoints directory on this machine's devices.

    The system comes from the checkpoint. The data are the target of `config`, so that a
    checkpoint can be evaluated on a third dataset (EVA, Table 7), or without `config` the
    target it was trained for; with them come the settings that no parameter depends on
    (models.readout), and where the tokeniser is now. Whether labels were learnt, target.labels,
    stays the checkpoint's. Raises as `Checkpoints` does.
    """
    checkpoints = Checkpoints(directory, read_only=True)
    step = checkpoints.best_step()
    meta = checkpoints.meta(step)
    trained = ConfigDict(_with_tuples(meta["config"]))
    labels = trained.target.labels
    if config is not None:
        same_system = config.system == trained.system
        for name in (*_OF_THE_DATA, *(models.readout(config) if same_system else ())):
            trained[name] = config[name]
        trained.target = ConfigDict(config.target.to_dict() | {"labels": labels})
    if config is not None and "text" in trained and "text" in config:
        trained.text.tokenizer = config.text.tokenizer or trained.text.tokenizer
    params = checkpoints.restore_params(step)
    checkpoints.close()
    checkpoint = {"step": step, "selected_by": meta["selected_by"]}
    return Restored(trained, params, meta["specs"][models.domains(trained)[-1]], checkpoint)


def _with_tuples(value):
    """A config as it was written: JSON has made lists of its tuples."""
    if isinstance(value, Mapping):
        return {name: _with_tuples(part) for name, part in value.items()}
    return tuple(map(_with_tuples, value)) if isinstance(value, list) else value
