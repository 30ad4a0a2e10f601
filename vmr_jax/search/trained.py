"""A trained retriever or localizer, and what tells it from every other one."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from vmr_jax import models
from vmr_jax.evaluation.restore import restore_run
from vmr_jax.training.checkpoint import checkpoint_directory
from vmr_jax.types import Config, DataSpec, Params, System


class Trained(NamedTuple):
    """A run's best checkpoint as a system."""

    config: Config
    system: System
    params: Params
    spec: DataSpec  # of its target
    identity: dict  # {"system", "step", "fingerprint", "workdir"}, for an index


def open_trained(workdir: str | Path, role: str) -> Trained:
    """Restore a "retriever" or "localizer" from a run's workdir or checkpoints directory.

    Raises FileNotFoundError where there is no checkpoint, DamagedCheckpointError, and ValueError
    where the run trained something else.
    """
    directory = checkpoint_directory(workdir)
    restored = restore_run(None, directory)
    config = restored.config
    spec = DataSpec(**restored.trained)
    system = models.make(config, {name: spec for name in models.of(config).domains(config)})
    if models.of(config).kind != role:
        first = directory.parent / "first_run"
        hint = f"; its retriever is in {first}" if role == "retriever" and first.is_dir() else ""
        raise ValueError(f"{workdir}: {config.system} is no {role}{hint}")
    identity = {
        "system": config.system,
        "step": restored.checkpoint["step"],
        "fingerprint": fingerprint(config, restored.params),
        "workdir": str(directory.absolute()),
    }
    return Trained(config, system, restored.params, spec, identity)


def open_maker(
    index: Path, manifest: Mapping | None, role: str, elsewhere: str | Path
) -> Trained | None:
    """Restore the system in `elsewhere`, or else the one that an index was made by; None: neither.

    Raises as `open_trained`.
    """
    made_by = (manifest or {}).get(role)
    if elsewhere or not made_by:
        return open_trained(elsewhere, role) if elsewhere else None
    try:
        return open_trained(made_by["workdir"], role)
    except FileNotFoundError as error:
        option = {"retriever": "--checkpoint", "localizer": "--localizer"}[role]
        raise FileNotFoundError(
            f"{index} was made by the {role} in {made_by['workdir']}, which is not there any more: "
            f"say with {option} where it is now"
        ) from error


def fingerprint(config: Config, params: Params) -> str:
    """A hash of the parameters and the config: equal ones encode alike."""
    digest = hashlib.sha256(json.dumps(config.to_dict(), sort_keys=True, default=list).encode())
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
        values = np.ascontiguousarray(jax.device_get(leaf))
        digest.update(f"{jax.tree_util.keystr(path)}{values.dtype}{values.shape}".encode())
        digest.update(values)
    return digest.hexdigest()
