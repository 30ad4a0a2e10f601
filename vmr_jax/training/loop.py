"""The training loop: resume, steps, when to log, evaluate and save."""

import signal
from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict
from rich.console import Console

from vmr_jax import models
from vmr_jax.data.batches.splits import selection_name, selection_split
from vmr_jax.datasets import training_domains
from vmr_jax.evaluation.evaluate import make_evaluation
from vmr_jax.evaluation.moments import report_folder
from vmr_jax.models import merge_params as adopt
from vmr_jax.training import mesh as meshes
from vmr_jax.training.checkpoint import Checkpoints, checkpoint_directory
from vmr_jax.training.input_pipeline import make_feed
from vmr_jax.training.logs import RunLog
from vmr_jax.training.mining import with_candidates
from vmr_jax.training.optimizer import make_optimizer
from vmr_jax.training.run_summary import print_overview
from vmr_jax.training.state import abstract_state, first_state, num_parameters, state_maker
from vmr_jax.training.workdir import claim_workdir


class NonFiniteLossError(FloatingPointError):
    """A loss term became NaN or infinite."""


def train(config: ConfigDict, workdir: Path, restore: str, console: Console) -> dict | None:
    """Train to the end and evaluate; go on where the workdir's newest checkpoint stands.

    Returns the report of the evaluation, or None where the run was asked to stop early.
    Raises ValueError where the workdir belongs to another config or other data, and
    NonFiniteLossError with the step and the term.
    """
    _check_numbers(config)
    before = models.pretraining(config)
    if before is not None and not restore:
        console.print(f"pre-training in {workdir / 'pretrain'}")
        if train(before, workdir / "pretrain", "", console) is None:
            return None
        restore = str(workdir / "pretrain")
    first = models.first_run(config)
    if first is not None and not run_once(first, workdir / models.FIRST_RUN, console):
        return None
    roles = models.domains(config)
    chooser = models.chooser(config)
    split = selection_split(config, chooser)
    mesh = meshes.make_mesh()
    meshes.check_batch_size(config.batch_size, "batch_size")
    located = models.located(config, workdir / models.FIRST_RUN)
    domains = training_domains(config, roles, chooser)
    if models.form(config) == "candidates":
        domains = {
            role: with_candidates(located, domain, workdir, mesh, console)
            for role, domain in domains.items()
        }
    specs = {role: domain.spec for role, domain in domains.items()}
    system = models.make(config, specs)
    trained = list(specs.values())[-1]._asdict()
    evaluation = make_evaluation(located, trained, split, mesh, console)
    meta = claim_workdir(workdir, config, {role: d.dataset for role, d in domains.items()})
    metric = models.selected_by(config)
    chosen_by = f"val/{metric}" if split else ""
    selected_by = selection_name(config, chooser, split)
    meta |= {
        "selected_by": selected_by,
        "chosen_by": chosen_by,
        "specs": {role: spec._asdict() for role, spec in specs.items()},
    }
    epoch = models.epoch(config)
    feed = make_feed(config, models.form(config), domains, mesh, console, epoch)
    optimizer = make_optimizer(config.optimizer, feed.pace)
    steps_per_epoch = feed.pace.steps_per_epoch
    last_step = config.epochs * steps_per_epoch
    maker = state_maker(system, optimizer, feed.example, config.seed)
    abstract = abstract_state(maker, mesh, config.parameter_rules)
    checkpoints = Checkpoints(workdir / "checkpoints", config.keep_checkpoints, chosen_by)
    state = checkpoints.restore_newest(abstract, console.print)
    if state is None:
        state = first_state(maker, abstract)
        if restore:
            state = state._replace(params=_adopt(system, state.params, restore))
            console.print(f"starting from the parameters of {restore}")
        elif system.pretrained:
            state = state._replace(params=_placed(system.pretrained(state.params), state.params))
            console.print("starting from the weight files that the config names")
        elif "text" in config and config.text.size == "base":
            console.print(
                "the text encoder starts from random weights: --config.text.weights=FILE names "
                "pre-trained ones"
            )
    first = int(state.step)
    if first:
        console.print(f"resuming {workdir} at step {first}")
        if out_of_patience(checkpoints, config.patience * steps_per_epoch):
            last_step = first
    print_overview(config, domains, num_parameters(state.params), last_step, console)

    advance = feed.make_advance(system, optimizer, state) if first < last_step else None
    if first < last_step:
        console.print("compiling the train step; a second start reads it from the cache")
    with RunLog(workdir, console, first, last_step) as log, _StopRequest() as stop:
        pending = None
        for begin, end in chunks(first, last_step, steps_per_epoch, config.log_every):
            state, metrics = advance(state, begin, end)
            record(log, pending)
            pending = (begin, metrics)
            epoch, inside = divmod(end, steps_per_epoch)
            stopping = stop.wanted()
            due = not inside and epoch % config.checkpoint_every == 0
            scored = not inside and epoch % (config.eval_every or config.checkpoint_every) == 0
            scored = bool(split) and (scored or end == last_step)
            if not (due or scored or stopping or end == last_step):
                continue
            record(log, pending)
            pending = None
            scores = None
            if scored:
                scores = evaluation.select(state.params)
                scores = {f"val/{name}": value for name, value in scores.items()}
                log.write(end, scores)
                console.print(f"step {end}: {metric} {scores[chosen_by]:.2f} on {selected_by}")
            checkpoints.save(state, meta, scores)
            if stopping and end < last_step:
                checkpoints.close()
                console.print(f"stopped by a signal; saved step {end}: the same command goes on")
                return None
            if scored and out_of_patience(checkpoints, config.patience * steps_per_epoch):
                console.print(f"no better {chosen_by} for {config.patience} epochs: stopping here")
                last_step = end
                break
    checkpoints.wait()
    step = checkpoints.best_step()
    params = state.params
    if step != last_step:
        console.print("the last epoch first, the chosen one below")
        last = {"step": last_step, "selected_by": "last epoch"}
        evaluation.report(params, last, workdir / "last_epoch")
        params = checkpoints.restore_params(step)
    checkpoints.close()
    chosen = {"step": step, "selected_by": selected_by}
    return evaluation.report(params, chosen, workdir)


def run_once(config: ConfigDict, workdir: Path, console: Console) -> bool:
    """Train a run that another one reads, unless it is finished; false: it was asked to stop."""
    if (report_folder(workdir, config) / "metrics.json").exists():
        console.print(f"{config.system} is trained: {workdir}")
        return True
    console.print(f"training {config.system} in {workdir}")
    return train(config, workdir, "", console) is not None


def out_of_patience(checkpoints: Checkpoints, steps: int) -> bool:
    """Tell whether the best checkpoint is at least so many steps old; 0 steps: patient for ever."""
    checkpoints.wait()
    there = checkpoints.steps()
    return bool(steps and there) and there[-1] - checkpoints.best_step() >= steps


def _check_numbers(config: ConfigDict) -> None:
    """Refuse counts that make no run."""
    for name in ("epochs", "batch_size", "log_every", "checkpoint_every", "keep_checkpoints"):
        if config[name] < 1:
            raise ValueError(f"{name} is {config[name]}; it must be at least 1")
    for name in ("eval_every", "patience"):
        if config[name] < 0:
            raise ValueError(f"{name} is {config[name]}; it must be 0 or more")
    if config.patience and config.select == "last":
        raise ValueError("patience waits for a better checkpoint, but select='last' compares none")


def chunks(first: int, last: int, steps_per_epoch: int, size: int) -> Iterator[tuple[int, int]]:
    """Split [first, last) into pieces that end with an epoch, of one length where that is near.

    The length is the largest divisor of an epoch up to `size`; if that is under a quarter of
    `size`, an epoch is cut into pieces that differ by one step (two compilations, not one).
    The pieces do not depend on `first`, so that a resumed run makes the same ones.
    """
    size = min(size, steps_per_epoch)
    length = max(n for n in range(1, size + 1) if steps_per_epoch % n == 0)
    pieces = steps_per_epoch // length if 4 * length >= size else -(-steps_per_epoch // size)
    edges = [piece * steps_per_epoch // pieces for piece in range(pieces + 1)]
    for epoch in range(first // steps_per_epoch, -(-last // steps_per_epoch)):
        for begin, end in zip(edges[:-1], edges[1:], strict=True):
            if epoch * steps_per_epoch + begin >= first:
                yield epoch * steps_per_epoch + begin, epoch * steps_per_epoch + end


class _StopRequest:
    """Turns SIGTERM (pre-emption) into a question that all processes answer alike.

    Of a single process Ctrl-C asks too; a second one does not wait for the piece to end.
    """

    def __enter__(self):
        self._asked = False
        self._questions = 0
        self._previous = {}
        if jax.process_count() == 1:
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
        if jax.process_count() > 1:
            self._questions += 1  # the processes agree on a number, so none may be left out
            return multihost_utils.reached_preemption_sync_point(self._questions)
        return self._asked


def record(log: RunLog, pending: tuple[int, dict] | None) -> None:
    """Fetch the metrics of the steps after `begin`, stop on a non-finite one, log their means."""
    if pending is None:
        return
    begin, metrics = pending
    metrics = {name: np.asarray(values) for name, values in jax.device_get(metrics).items()}
    finite = np.all([np.isfinite(values) for values in metrics.values()], axis=0)
    if not finite.all():
        at = int(np.argmin(finite))
        names = [name for name, values in metrics.items() if not np.isfinite(values[at])]
        raise NonFiniteLossError(
            f"step {begin + at + 1}: {', '.join(names)} is not finite. The last good checkpoint is "
            "kept. Look at the data with `vmr doctor`, or lower optimizer.learning_rate."
        )
    step = begin + len(finite)
    means = {name: float(values.mean()) for name, values in metrics.items()}
    log.write(step, {f"train/{name}": value for name, value in means.items()})
    alone = [n for n, value in means.items() if n != "loss" and value == means["loss"]]
    log.progress(step, {n: v for n, v in means.items() if n not in (*alone, "grad_norm")})


def _adopt(system, params, restore: str):
    directory = checkpoint_directory(restore)
    checkpoints = Checkpoints(directory, read_only=True)
    restored = checkpoints.restore_params(checkpoints.best_step())
    checkpoints.close()
    merge = system.adopt or adopt.adopt_matching
    return _placed(merge(params, restored), params)


def _placed(params, like):
    """`params` where `like` lies."""
    return jax.device_put(params, jax.tree.map(lambda leaf: leaf.sharding, like))
