"""A trained retriever or localizer, and what tells it from every other one."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import jax
import numpy as np

from vmr_jax import models
from vmr_jax.evaluation.restore import restore_run
from vmr_jax.training.checkpoint import checkpoint_directory
from vmr_jax.types import Config, DataSpec, Localizer, Params, Retriever

Kind = TypeVar("Kind", bound=Retriever | Localizer, covariant=True)


class Trained(NamedTuple, Generic[Kind]):
    """A run's best checkpoint as a system."""

    config: Config
    system: Kind
    params: Params
    spec: DataSpec  # of its target
    identity: dict  # {"system", "step", "fingerprint", "workdir"}, for an index


def role_of(kind: type[Kind]) -> str:
    """What an index and its messages call a kind: "retriever" or "localizer"."""
    return kind.__name__.lower()


def open_trained(workdir: str | Path, kind: type[Kind]) -> Trained[Kind]:
    """Restore a Retriever or Localizer from a run's workdir or checkpoints directory.

    Raises FileNotFoundError where there is no checkpoint, DamagedCheckpointError, and ValueError
    where the run trained something else.
    """
    directory = checkpoint_directory(workdir)
    restored = restore_run(None, directory)
    config = restored.config
    spec = DataSpec(**restored.trained)
    system = models.make(config, {name: spec for name in models.of(config).domains(config)})
    if not isinstance(system, kind):
        first = directory.parent / "first_run"
        hint = f"; its retriever is in {first}" if kind is Retriever and first.is_dir() else ""
        raise ValueError(f"{workdir}: {config.system} is no {role_of(kind)}{hint}")
    identity = {
        "system": config.system,
        "step": restored.checkpoint["step"],
        "fingerprint": fingerprint(config, restored.params),
        "workdir": str(directory.absolute()),
    }
    return Trained(config, system, restored.params, spec, identity)


def open_maker(
    index: Path, manifest: Mapping | None, kind: type[Kind], elsewhere: str | Path
) -> Trained[Kind] | None:
    """Restore the system in `elsewhere`, or else the one that an index was made by; None: neither.

    Raises as `open_trained`.
    """
    role = role_of(kind)
    made_by = (manifest or {}).get(role)
    if elsewhere or not made_by:
        return open_trained(elsewhere, kind) if elsewhere else None
    try:
        return open_trained(made_by["workdir"], kind)
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
        digest.update(values.tobytes())
    return digest.hexdigest()
