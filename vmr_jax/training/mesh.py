"""Devices and processes: their start, the mesh and what lies on it, compiled programs, the end."""

import os
import re
import signal
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vmr_jax.output_files import user_cache

_PROGRAM_BYTES = 1 << 20  # of a compiled program, about


def start_processes(coordinator: str, num_processes: int, process_id: int) -> None:
    """Join the other processes of this run, where there is more than one.

    Explicit arguments win; else the environment of Slurm or GKE is read. With `num_processes`
    0 JAX asks the cluster itself, as it must for a Cloud TPU pod, which only its metadata tell.
    Raises ValueError where the arguments do not fit together.
    """
    if num_processes > 1:
        if not coordinator:
            raise ValueError("--num_processes needs --coordinator=HOST:PORT of process 0")
        if not 0 <= process_id < num_processes:
            raise ValueError(f"--process_id {process_id} is not in 0 ... {num_processes - 1}")
        jax.distributed.initialize(coordinator, num_processes, process_id)
    elif num_processes == 0 or _cluster_size() > 1:
        jax.distributed.initialize()


def _cluster_size() -> int:
    """Processes of this job as the environment of `srun` or of a GKE TPU pod tells them."""
    workers = os.environ.get("TPU_WORKER_HOSTNAMES", "")
    return max(int(os.environ.get("SLURM_STEP_NUM_TASKS", "1")), len(workers.split(",")))


def keep_compilations() -> None:
    """Compile once: a second start of the same program reads the first one's executables.

    They are kept in JAX_COMPILATION_CACHE_DIR, or in vmr_jax/ of the user's cache without it. Where
    that cannot be written programs are compiled anew, and it is said so.
    """
    try:
        cache = os.environ.get("JAX_COMPILATION_CACHE_DIR") or user_cache()
        if "://" not in str(cache):  # a bucket
            _check_writable(Path(cache))
    except RuntimeError:  # a user without a home and without an entry in passwd
        reason = "no home directory"
    except OSError as error:
        reason = f"{cache} cannot be written ({error.strerror or error})"
    else:
        jax.config.update("jax_compilation_cache_dir", str(cache))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        return
    jax.config.update("jax_compilation_cache_dir", None)
    told = "programs are compiled anew, JAX_COMPILATION_CACHE_DIR=DIR keeps them"
    print(f"{reason}: {told}", file=sys.stderr)


def _check_writable(folder: Path) -> None:
    """Raise OSError unless a compiled program fits into a folder, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(bytes(_PROGRAM_BYTES))


def everywhere(fine: bool) -> bool:
    """Whether all processes are fine; each of them has to ask."""
    return bool(np.all(multihost_utils.process_allgather(np.array(fine))))


def make_mesh() -> Mesh:
    """A mesh over all devices of all processes with one axis, `data`."""
    return jax.make_mesh((jax.device_count(),), ("data",), axis_types=(AxisType.Auto,))


def check_batch_size(batch_size: int, name: str) -> None:
    """Raise ValueError unless the devices can share a batch evenly."""
    if batch_size % jax.device_count():
        raise ValueError(
            f"{name} {batch_size} is not a multiple of the {jax.device_count()} devices: "
            f"use e.g. {-(-batch_size // jax.device_count()) * jax.device_count()}"
        )


def along_batch(mesh: Mesh) -> NamedSharding:
    """The leading axis over all devices."""
    return NamedSharding(mesh, PartitionSpec("data"))


def replicated(mesh: Mesh) -> NamedSharding:
    """The same on every device."""
    return NamedSharding(mesh, PartitionSpec())


def local_rows(rows: np.ndarray) -> np.ndarray:
    """This process's share of a global batch's rows (B, ...)."""
    share = len(rows) // jax.process_count()
    return rows[jax.process_index() * share : (jax.process_index() + 1) * share]


def state_shardings(
    state: jax.ShapeDtypeStruct, mesh: Mesh, rules: Sequence[tuple[str, Sequence[str | None]]]
) -> Mapping:
    """A sharding for each leaf of a state: the first rule whose pattern is found in its path.

    A rule is (regular expression, mesh axis or None for each array axis); a leaf without a
    rule is replicated. Optimiser moments follow their parameter, whose path theirs contains.
    Raises ValueError where a rule does not fit the array.
    """

    def sharding(path, leaf):
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        for pattern, axes in rules:
            if re.search(pattern, name):
                _check_rule(pattern, axes, name, leaf.shape, mesh)
                return NamedSharding(mesh, PartitionSpec(*axes))
        return replicated(mesh)

    return jax.tree_util.tree_map_with_path(sharding, state)


def _check_rule(pattern, axes, name, shape, mesh) -> None:
    if len(axes) != len(shape):
        raise ValueError(
            f"parameter_rules: {pattern!r} names {len(axes)} axes, but {name} has shape {shape}"
        )
    named = [axis for axis in axes if axis]
    if len(set(named)) != len(named) or not set(named) <= set(mesh.axis_names):
        raise ValueError(
            f"parameter_rules: {pattern!r} must use each mesh axis of {mesh.axis_names} at most "
            f"once; it says {tuple(axes)}"
        )
    for size, axis in zip(shape, axes, strict=True):
        if axis and size % mesh.shape[axis]:
            raise ValueError(
                f"parameter_rules: {pattern!r} splits an axis of {size} of {name} over "
                f"{mesh.shape[axis]} devices, which does not go evenly"
            )


class StopRequest:
    """Turns SIGTERM (pre-emption) into a question that all processes answer alike.

    Of a single process Ctrl-C asks too; a second one does not wait for the piece to end. A run in
    another thread than the main one gets no signals.
    """

    def __enter__(self):
        self._asked = False
        self._questions = 0
        self._previous = {}
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                if signal.getsignal(number) != signal.SIG_IGN:
                    self._previous[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_):
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _ask(self, number, _):
        self._asked = True
        if number == signal.SIGINT:
            signal.signal(number, self._previous[number])

    def wanted(self) -> bool:
        """Tell whether the run shall stop after this piece; every process asks equally often."""
        if jax.process_count() > 1:
            self._questions += 1  # the processes agree on a number, so none may be left out
            return multihost_utils.reached_preemption_sync_point(self._questions)
        return self._asked
