"""Evaluate a checkpoint on the split that a config names."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

from jax.sharding import Mesh
from rich.console import Console

from vmr_jax import models
from vmr_jax.evaluation import corpus as evaluate_corpus
from vmr_jax.evaluation import moments as evaluate_moments
from vmr_jax.evaluation.restore import restore_run
from vmr_jax.models.ranges import check_ranges
from vmr_jax.training.checkpoint import checkpoint_directory
from vmr_jax.training.mesh import make_mesh
from vmr_jax.training.workdir import held
from vmr_jax.types import Config, Evaluation


def evaluate_checkpoint(
    config: Config | None,
    workdir: str,
    restore: str,
    console: Console,
    part: str = "",
    given: Iterable[str] = (),
) -> dict:
    """`--mode=eval`: needs a checkpoint directory and the data, on any number of devices.

    `restore_run` says what comes from the checkpoint and what from `config`, of which a user set
    the keys in `given`. `part` is eval.query where it is not "". Writes under `workdir`, or beside
    the checkpoints if it is "".
    """
    directory = checkpoint_directory(restore or workdir)
    folder = Path(workdir or directory.parent)
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder))
        except PermissionError as error:
            other = f"`vmr eval OTHER --restore={directory.parent}` writes the report into OTHER"
            raise PermissionError(f"{error}: {other}") from error
        return _evaluate(config, directory, folder, console, part, given)


def _evaluate(
    config: Config | None,
    directory: Path,
    folder: Path,
    console: Console,
    part: str,
    given: Iterable[str],
) -> dict:
    """`evaluate_checkpoint` of a checkpoints directory, with the report under a held folder."""
    restored = restore_run(config, directory, given)
    if part:
        restored.config.eval.query = part
    described = models.of(restored.config)
    check_ranges(restored.config, described.ranges)
    located = described.located(restored.config, directory.parent / models.FIRST_RUN)
    evaluation = make_evaluation(located, restored.trained, "", make_mesh(), console)
    return evaluation.report(restored.params, restored.checkpoint, folder)


def make_evaluation(
    config: Config, trained: Mapping[str, int], split: str, mesh: Mesh, console: Console
) -> Evaluation:
    """How the system of `config` is scored, by what it retrieves (Description.task).

    `trained` are the sizes that it was trained with, `split` chooses checkpoints ("": none).
    """
    scored_by = {"moments": evaluate_moments, "corpus": evaluate_corpus}[models.of(config).task]
    return scored_by.make_evaluation(config, trained, split, mesh, console)
