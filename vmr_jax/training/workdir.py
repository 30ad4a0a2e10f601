"""Whose workdir it is: what a run was started with, and which process writes there."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import jax

from vmr_jax.data.tables.dataset import Dataset
from vmr_jax.input_files import read_json
from vmr_jax.locks import locked
from vmr_jax.output_files import write_whole
from vmr_jax.training.checkpoint import CHECKPOINTS, has_checkpoint
from vmr_jax.training.mesh import everywhere
from vmr_jax.types import Config

# Settings that may change between a run and its resumption: they do not reach a batch or a step.
_FREE = (
    "data_dir",
    "data.threads",
    "data.prefetch",
    "checkpoint_every",
    "keep_checkpoints",
    "eval",
    "target.eval_split",
    "metric",
)


@contextmanager
def held(workdir: Path) -> Iterator[None]:
    """Hold a workdir against other runs; process 0 does it for all processes of this one.

    Raises ValueError and PermissionError as `locked`.
    """
    with ExitStack() as stack:
        refusal = None
        if jax.process_index() == 0:
            try:
                stack.enter_context(locked(workdir))
            except (ValueError, OSError) as error:
                refusal = error
        if not everywhere(refusal is None):
            raise refusal or ValueError(f"{workdir} is refused to this run: process 0 says why")
        yield


def claim_workdir(workdir: Path, config: Config, datasets: Mapping[str, Dataset]) -> dict:
    """Write config.json; where a checkpoint of the workdir is there, check that it is the same run.

    Returns what config.json holds. Raises ValueError that lists every difference.
    """
    claim = {
        "config": json.loads(config.to_json_best_effort()),
        "data": {
            role: {"dataset": d.name, "features": d.feature_name, "fingerprint": d.fingerprint}
            for role, d in datasets.items()
        },
    }
    path = Path(workdir) / "config.json"
    if path.exists() and has_checkpoint(path.parent / CHECKPOINTS):
        before = read_json(path, f"delete {path.parent}, or give another --workdir to start anew")
        differences = [
            f"  {name}: was {old!r}, is {new!r}"
            for name, old, new in _differences(before, claim)
            if not any(
                name == f"config.{free}" or name.startswith(f"config.{free}.") for free in _FREE
            )
        ]
        if differences:
            raise ValueError(
                f"{workdir} belongs to another run; what differs:\n"
                + "\n".join(differences)
                + "\nGive the old settings to go on with it, or another --workdir to start anew."
            )
    if jax.process_index() == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, json.dumps(claim, indent=2) + "\n")
    return claim


def _differences(old, new, name: str = ""):
    """(name, old value, new value) for every leaf in which two JSON trees differ."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in sorted(old.keys() | new.keys()):
            inner = f"{name}.{key}" if name else key
            yield from _differences(old.get(key, "(absent)"), new.get(key, "(absent)"), inner)
    elif old != new:
        yield name, old, new
