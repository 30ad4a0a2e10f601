"""Checkpoints of a run: saved by Orbax, checked when read, never deleted with the run."""

import json
import logging
import shutil
import sys
import threading
import traceback
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils
from orbax.checkpoint import checkpoint_managers as policies

from vmr_jax.input_files import require_file
from vmr_jax.output_files import FullDiskError, need_space, needing_space
from vmr_jax.training.mesh import everywhere, make_mesh, replicated
from vmr_jax.training.state import TrainState
from vmr_jax.types import Params

CHECKPOINTS = "checkpoints"  # the folder of a workdir
_PARAMS, _REST, _META = "params", "rest", "meta"
_UNFINISHED = "*.orbax-checkpoint-tmp"
_PATIENCE = 60.0  # seconds for a thread of a failed save to end
_LEAF_BYTES = 4096  # of the files that Orbax writes beside the values of a leaf, about
_tell = sys.unraisablehook


class DamagedCheckpointError(ValueError):
    """A checkpoint cannot be read as it was saved."""


class Checkpoints:
    """The directory `checkpoints/` of a workdir.

    Each step holds the parameters, the rest of the state, and `meta`: the run's config and data,
    so that the directory alone is enough to evaluate. `meta` also has checksums: of the leaves of
    both, and of itself.
    """

    def __init__(self, directory: Path, keep: int = 2, best: str = "", read_only: bool = False):
        """Open the directory; `best` is a metric whose highest checkpoint is kept as well.

        With `read_only` opening makes and removes nothing, and the caller does not save.
        """
        self.directory = Path(directory).absolute()
        if read_only and not self.directory.is_dir():
            raise FileNotFoundError(f"{self.directory}: no such checkpoint directory")
        keepers: list[policies.PreservationPolicy] = [policies.LatestN(keep)]
        if best:
            keepers.append(
                policies.BestN(
                    get_metric_fn=lambda m: m.get(best, -np.inf),
                    n=1,
                    keep_checkpoints_without_metrics=False,
                )
            )
        for logger in ("absl", "asyncio"):
            logging.getLogger(logger).addFilter(_is_not_raised_too)
        sys.unraisablehook = _tell_unraisable
        self._manager = ocp.CheckpointManager(
            self.directory,
            options=ocp.CheckpointManagerOptions(
                create=not read_only,
                preservation_policy=policies.AnyPreservationPolicy(keepers),
                cleanup_tmp_directories=not read_only,
                # Other threads would wait ten minutes for a directory that cannot be made.
                async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
            ),
            item_names=(_PARAMS, _REST, _META),
            item_handlers={
                _PARAMS: ocp.StandardCheckpointHandler(),
                _REST: ocp.StandardCheckpointHandler(),
                _META: ocp.JsonCheckpointHandler(),
            },
        )

    def steps(self) -> list[int]:
        """Steps that were saved completely, in order."""
        return sorted(self._manager.all_steps())

    def save(self, state: TrainState, meta: dict, metrics: dict[str, float] | None = None) -> None:
        """Write the state in the background; a copy is taken first, the caller may donate it.

        Raises FullDiskError, and OSError where it cannot be written, of the state before this one
        too; that one is not there then, and those that were saved before are.
        """
        self.wait()
        self.need_space(state)
        state = jax.tree.map(jnp.copy, state)
        step = int(state.step)
        rest = {"step": state.step, "opt_state": state.opt_state}
        meta = meta | {
            "checksums": {_PARAMS: _checksum(state.params), _REST: _checksum(rest)},
            "metrics": metrics or {},
        }
        meta["checksums"][_META] = _checksum_of_meta(meta)
        items = {
            _PARAMS: ocp.args.StandardSave(state.params),
            _REST: ocp.args.StandardSave(rest),
            _META: ocp.args.JsonSave(meta),
        }
        with self._saving():
            self._manager.save(step, args=ocp.args.Composite(**items), metrics=metrics)

    def need_space(self, state: TrainState) -> None:
        """Raise FullDiskError, in every process, where a state has no space on the disk."""
        refusal = None
        try:
            sizes = (leaf.nbytes + _LEAF_BYTES for leaf in jax.tree.leaves(state))
            need_space(self.directory, sum(sizes))
        except FullDiskError as error:
            refusal = error
        if not everywhere(refusal is None):
            raise refusal or FullDiskError(f"{self.directory}: full for another process")

    def wait(self) -> None:
        """Wait for what is being written. Raises as `save`."""
        with self._saving():
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and let go of the directory. Raises as `save`."""
        with self._saving():
            self._manager.close()

    def meta(self, step: int) -> dict:
        """What was saved beside the state of `step`."""
        with self._reading(step, _META):
            self._refuse_pipes(step)
            args = ocp.args.Composite(**{_META: ocp.args.JsonRestore()})
            meta = self._manager.restore(step, args=args)[_META]
            whole = _is_whole(meta)
        if not whole:
            raise DamagedCheckpointError(f"{self.directory}/{step}: the meta is damaged")
        return meta

    def best_step(self) -> int:
        """The step with the highest metric of those that meta["chosen_by"] names, or the newest."""
        scored = {}
        for step in self.steps():
            meta = self.meta(step)
            if meta.get("chosen_by") in meta["metrics"]:
                scored[step] = meta["metrics"][meta["chosen_by"]]
        return max(scored, key=scored.__getitem__) if scored else self.steps()[-1]

    def restore_newest(self, abstract: TrainState, say: Callable[[str], None]) -> TrainState | None:
        """The newest readable state, laid out as `abstract` says; None if nothing was saved.

        Where a checkpoint is damaged and the one before it is not, that one is taken, saying so,
        and the damaged one is moved to `../damaged/`. Raises DamagedCheckpointError where
        checkpoints exist and none can be read; then nothing is moved.
        """
        steps = self.steps()
        faults = {}
        for step in reversed(steps):
            state, fault = self._try(step, abstract)
            if state is None:
                faults[step] = fault
                continue
            for damaged, fault in faults.items():
                aside = self._put_aside(damaged)
                say(f"checkpoint {damaged} is damaged ({fault}); moved to {aside}")
            if faults:
                say(f"taking checkpoint {step}, the one before")
            return state
        if steps:
            raise DamagedCheckpointError(
                f"{self.directory}: none of the checkpoints {steps} can be read (the newest: "
                f"{faults[steps[-1]]}). If the code changed, go back to the version that wrote "
                "them; else start again with another --workdir."
            )
        return None

    def restore_params(self, step: int) -> Params:
        """Only the parameters of `step`, replicated on the devices of this topology."""
        sharding = replicated(make_mesh())
        saved = self.meta(step)
        with self._reading(step, _PARAMS):
            abstract = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
                self._manager.item_metadata(step)[_PARAMS],
            )
            args = ocp.args.Composite(**{_PARAMS: ocp.args.StandardRestore(abstract)})
            params = self._manager.restore(step, args=args)[_PARAMS]
        if not _matches(params, saved["checksums"][_PARAMS]):
            raise DamagedCheckpointError(f"{self.directory}/{step}: the parameters are damaged")
        return params

    @contextmanager
    def _saving(self) -> Iterator[None]:
        """Turn what Orbax raises of a save into an OSError of one line; remove what it left."""
        try:
            with needing_space(self.directory), self._discarding():
                yield
        except FullDiskError:
            raise
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise OSError(
                f"{self.directory}: a checkpoint cannot be written ({_first_line(error)})"
            ) from error

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """After an error let the threads of a save end, and remove what they have written."""
        try:
            yield
        except Exception:
            for thread in threading.enumerate():
                if type(thread).__module__.startswith("orbax."):
                    threading.Thread.join(thread, _PATIENCE)  # without raising what it raised
            if jax.process_index() == 0:
                for unfinished in self.directory.glob(_UNFINISHED):
                    shutil.rmtree(unfinished, ignore_errors=True)
            raise

    @contextmanager
    def _reading(self, step: int, item: str):
        """Turn what Orbax raises on a damaged item into DamagedCheckpointError."""
        try:
            yield
        except Exception as error:  # Orbax and TensorStore raise many kinds
            raise DamagedCheckpointError(
                f"{self.directory}/{step}: the {item} cannot be read ({_first_line(error)})"
            ) from error

    def _refuse_pipes(self, step: int) -> None:
        """Raise ValueError for what would make its reader wait."""
        for path in (self.directory / str(step)).rglob("*"):
            if not path.is_dir():
                require_file(path, "checkpoints")

    def _try(self, step: int, abstract: TrainState) -> tuple[TrainState | None, str]:
        rest = {"step": abstract.step, "opt_state": abstract.opt_state}
        args = {
            _PARAMS: ocp.args.StandardRestore(abstract.params),
            _REST: ocp.args.StandardRestore(rest),
            _META: ocp.args.JsonRestore(),
        }
        fault, state = "", None
        try:
            self._refuse_pipes(step)
            read = self._manager.restore(step, args=ocp.args.Composite(**args))
            checksums = read[_META]["checksums"]
            if (
                _is_whole(read[_META])
                and _matches(read[_PARAMS], checksums[_PARAMS])
                and _matches(read[_REST], checksums[_REST])
            ):
                state = TrainState(read[_REST]["step"], read[_PARAMS], read[_REST]["opt_state"])
            else:
                fault = "its content does not have the checksum it was saved with"
        except Exception as error:  # Orbax and TensorStore raise many kinds
            fault = _first_line(error)
        if not everywhere(state is not None):
            return None, fault or "another process could not read it"
        return state, ""

    def _put_aside(self, step: int) -> Path:
        aside = self.directory.parent / "damaged" / str(step)
        if jax.process_index() == 0:
            aside.parent.mkdir(exist_ok=True)
            if aside.exists():
                aside = aside.with_name(f"{step}-{len(list(aside.parent.iterdir()))}")
            shutil.move(self.directory / str(step), aside)
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices(f"put aside {step}")
        self._manager.reload()
        return aside


def has_checkpoint(directory: Path) -> bool:
    """Tell whether a state was saved completely in a checkpoints directory."""
    return directory.is_dir() and any(child.name.isdigit() for child in directory.iterdir())


def checkpoint_directory(path: str | Path) -> Path:
    """`path` is a workdir or its checkpoints directory; errors say which was looked for."""
    path = Path(path)
    for candidate in (path / CHECKPOINTS, path):
        if has_checkpoint(candidate):
            return candidate
    raise FileNotFoundError(
        f"{path}: no checkpoint found there; give a run's --workdir or its checkpoints directory"
    )


def _is_not_raised_too(record: logging.LogRecord) -> bool:
    """Tell a record from the traces that Orbax's threads log of what is raised in the run too."""
    trace = record.exc_info[2] if record.exc_info else None
    files = (Path(frame.filename) for frame in traceback.extract_tb(trace))
    return not any("orbax" in file.parts for file in files)


def _tell_unraisable(unraisable: Any) -> None:
    """Tell what cannot be raised, but not that a failed save was over when TensorStore answered."""
    error = unraisable.exc_value
    if not isinstance(error, RuntimeError) or str(error) != "Event loop is closed":
        _tell(unraisable)


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0][:120]}"


def _checksum(tree: Any) -> int | None:
    """CRC-32 over all leaves, or None where this process does not hold them whole."""
    value = 0
    for leaf in jax.tree.leaves(tree):
        if not (leaf.is_fully_addressable or leaf.is_fully_replicated):
            return None
        value = zlib.crc32(_whole(leaf).tobytes(), value)
    return value


def _checksum_of_meta(meta: dict) -> int:
    """CRC-32 of `meta` but for this checksum."""
    others = {item: value for item, value in meta["checksums"].items() if item != _META}
    return zlib.crc32(json.dumps(meta | {"checksums": others}, sort_keys=True).encode())


def _is_whole(meta: dict) -> bool:
    """Tell whether `meta` is what was saved; True where it was before it had a checksum."""
    return meta["checksums"].get(_META) in (None, _checksum_of_meta(meta))


def _whole(leaf: jax.Array) -> np.ndarray:
    local = leaf if leaf.is_fully_addressable else leaf.addressable_data(0)
    return np.asarray(local)


def _matches(tree: Any, checksum: int | None) -> bool:
    return checksum is None or _checksum(jax.tree.map(jnp.asarray, tree)) == checksum
