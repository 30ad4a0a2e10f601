"""The training loop: steps, when to log, evaluate and save, and how a run ends."""

from contextlib import suppress
from pathlib import Path

from rich.console import Console

from vmr_jax import models
from vmr_jax.evaluation.moment_report import report_folder
from vmr_jax.training.logs import RunLog
from vmr_jax.training.mesh import StopRequest
from vmr_jax.training.run import Run, check_settings, prepare_run, settled
from vmr_jax.training.state import TrainState
from vmr_jax.training.steps import chunks
from vmr_jax.training.workdir import held
from vmr_jax.types import Config


def train(config: Config, workdir: Path, restore: str, console: Console) -> dict | None:
    """Train to the end and evaluate; go on where the workdir's newest checkpoint stands.

    Returns the report of the evaluation, or None where the run was asked to stop. Raises as
    `prepare_run`, NonFiniteLossError with step and term, ValueError where another process writes in
    the workdir, and OSError where a file cannot be written; what was saved before is whole.
    """
    check_settings(config)
    with held(workdir):
        return _train(config, workdir, restore, console)


def _train(config: Config, workdir: Path, restore: str, console: Console) -> dict | None:
    """`train`, in a workdir that is held."""
    config, described = settled(config), models.of(config)
    before = described.pretraining(config)
    if before is not None and not restore:
        console.print(f"pre-training in {workdir / 'pretrain'}")
        if train(before, workdir / "pretrain", "", console) is None:
            return None
        restore = str(workdir / "pretrain")
    first = described.first_run(config)
    if first is not None and not run_once(first, workdir / models.FIRST_RUN, console):
        return None
    run = prepare_run(config, workdir, restore, console)
    try:
        ended = _steps(run, console)
    except Exception:
        with suppress(OSError):  # a save that fails as well
            run.checkpoints.close()
        raise
    return ended and _report(run, *ended, console)


def run_once(config: Config, workdir: Path, console: Console) -> bool:
    """Train a run that another one reads, unless it is finished; false: it was asked to stop."""
    if (report_folder(workdir, config) / "metrics.json").exists():
        console.print(f"{config.system} is trained: {workdir}")
        return True
    console.print(f"training {config.system} in {workdir}")
    return train(config, workdir, "", console) is not None


def _steps(run: Run, console: Console) -> tuple[TrainState, int] | None:
    """Take the steps that are left: the last state and step; None: the run was asked to stop."""
    config, checkpoints, state = run.config, run.checkpoints, run.state
    first, last_step = int(state.step), run.last_step
    if first >= last_step:
        return state, last_step
    checkpoints.need_space(state)
    advance = run.pipeline.make_advance(run.system, run.make_optimizer, state)
    console.print("compiling the train step; a second start reads it from the cache")
    with RunLog(run.workdir, console, first, last_step) as log, StopRequest() as stop:
        pending = None
        for begin, end in chunks(first, last_step, run.steps_per_epoch, config.log_every):
            state, metrics = advance(state, begin, end)
            log.record(pending)
            pending = (begin, end, metrics)
            stopping = stop.wanted()
            due, scored = run.due(end)
            if not (due or scored or stopping):
                continue
            log.record(pending)
            pending = None
            log.warn_of_collapse(end, run.steps_per_epoch)
            if end == last_step:
                log.warn_of_divergence()
            scores = _scores(run, state, end, log, console) if scored else None
            checkpoints.save(state, run.meta, scores)
            if stopping and end < last_step:
                checkpoints.close()
                console.print(f"stopped by a signal; saved step {end}: the same command goes on")
                return None
            if scored and run.out_of_patience():
                chosen_by = run.meta["chosen_by"]
                console.print(f"no better {chosen_by} for {config.patience} epochs: stopping here")
                return state, end
    return state, last_step


def _scores(run: Run, state: TrainState, step: int, log: RunLog, console: Console) -> dict:
    """The metrics of the split that chooses the checkpoint, logged."""
    scores = {f"val/{name}": x for name, x in run.evaluation.select(state.params).items()}
    log.write(step, scores)
    name, split = run.meta["chosen_by"], run.meta["selected_by"]
    console.print(f"step {step}: {name.removeprefix('val/')} {scores[name]:.2f} on {split}")
    return scores


def _report(run: Run, state: TrainState, last_step: int, console: Console) -> dict:
    """Evaluate the chosen checkpoint, after the last one where that is another."""
    run.checkpoints.wait()
    step, params = run.checkpoints.best_step(), state.params
    if step != last_step:
        console.print("the last epoch first, the chosen one below")
        last = {"step": last_step, "selected_by": "last epoch"}
        run.evaluation.report(params, last, run.workdir / "last_epoch")
        params = run.checkpoints.restore_params(step)
    run.checkpoints.close()
    chosen = {"step": step, "selected_by": run.meta["selected_by"]}
    return run.evaluation.report(params, chosen, run.workdir)
