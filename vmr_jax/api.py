"""Train, evaluate and score from Python, as `vmr train`, `vmr eval` and `vmr score` do."""

import copy
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from vmr_jax.config_files import load_config, split_argument
from vmr_jax.evaluation.report import Report
from vmr_jax.overrides import set_key
from vmr_jax.types import Config


def train(
    config: str | Config,
    workdir: str | Path = "",
    *,
    restore: str | Path = "",
    quiet: bool = False,
    **overrides: Any,
) -> Report:
    """Train a system and evaluate it; the same workdir goes on where the run stands.

    Args:
        config: a name such as "vlanet" or "eva:tvr,charades_sta", a config's file, or a config.
        workdir: where the run writes; "" is runs/<config>-<time>.
        restore: a workdir whose parameters to start from.
        quiet: print nothing.
        overrides: keys of the config; a dot is written as two underscores:
            optimizer__learning_rate=1e-3.

    Raises:
        KeyboardInterrupt: the run was asked to stop; the same call goes on.
        FileNotFoundError, ValueError: as `loop.train`, and for a config or key that is not known.
    """
    from vmr_jax.training.loop import train as run
    from vmr_jax.training.mesh import keep_compilations

    keep_compilations()
    name, settings = _settings(config, overrides)
    folder = Path(workdir or f"runs/{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    values = run(settings, folder, str(restore), _console(quiet))
    if values is None:
        raise KeyboardInterrupt(f"{folder}: stopped before its end; the same call goes on")
    return Report(values)


def evaluate(
    workdir: str | Path,
    config: str | Config | None = None,
    *,
    quiet: bool = False,
    **overrides: Any,
) -> Report:
    """Evaluate a run's best checkpoint and write its report into the workdir.

    Args:
        workdir: of the run.
        config: whose target to evaluate on; None: the target that the run was trained for.
        quiet: print nothing.
        overrides: keys that an evaluation reads, such as target__eval_split="val".

    Raises:
        FileNotFoundError, ValueError: as `evaluate.evaluate_checkpoint`; a key that has no effect
            on an evaluation is refused.
    """
    from vmr_jax.evaluation.evaluate import evaluate_checkpoint
    from vmr_jax.evaluation.restore import trained_config
    from vmr_jax.training.checkpoint import checkpoint_directory
    from vmr_jax.training.mesh import keep_compilations

    keep_compilations()
    settings, given = None, [key.replace("__", ".") for key in overrides]
    if config is not None or overrides:
        of_run = config if config is not None else trained_config(checkpoint_directory(workdir))
        _, settings = _settings(of_run, overrides)
    return Report(evaluate_checkpoint(settings, str(workdir), "", _console(quiet), given=given))


def score(
    predictions: str | Path,
    labels: str | Path,
    dataset: str = "jsonl",
    split: str = "",
    *,
    with_map: bool = False,
    order: str = "score",
    linear_match: str | Path | None = None,
    kind: str = "windows",
    fps: float = 0,
    bins: float = 0,
    by: bool = False,
    figures: str | Path | None = None,
) -> Report:
    """Score a predictions.jsonl, or a submission in TVR's format, of any code, against labels.

    Arguments, figures and errors are those of `score.score_files`.
    """
    from vmr_jax.evaluation.score import score_files

    beside = Path(linear_match) if linear_match else None
    files = Path(predictions), Path(labels)
    return score_files(
        *files,
        dataset,
        split,
        with_map,
        order,
        beside,
        kind,
        fps,
        bins,
        by=by,
        figures=Path(figures) if figures else None,
    )


def _settings(config: str | Config, overrides: dict[str, Any]) -> tuple[str, Config]:
    """A config's name, and its settings with the overrides."""
    if isinstance(config, str):
        name, settings = Path(split_argument(config)[0]).stem, load_config(config)
    else:
        name, settings = config.system, copy.deepcopy(config)
    settings.lock()
    for key, value in overrides.items():
        set_key(settings, key.replace("__", "."), value, name)
    return name, settings


def _console(quiet: bool) -> Console:
    from vmr_jax.training.logs import make_console

    return Console(quiet=True) if quiet else make_console()
