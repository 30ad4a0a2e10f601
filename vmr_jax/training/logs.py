"""What a run tells: metrics.jsonl, TensorBoard, a live bar on a terminal, plain lines elsewhere."""

import json
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

from vmr_jax.input_files import require_file
from vmr_jax.output_files import needing_space, write_whole
from vmr_jax.progress import shown

_BAR_WIDTH = 16
_PLAIN_EVERY_SECONDS = 10.0
_FLUSH_SECONDS = 10.0  # of TensorBoard's file, whose flush waits for the disk
_DIVERGED = 10.0  # times the first loss
_ALIKE = 0.01  # below it mean similarities of true and false pairs, of -1 to 1, are the same
_PATIENCE = 400  # steps that similarities may be so


def _make_bar(console: Console) -> Progress:
    """A bar with counts, elapsed time, time left and a note, which alone is cut to the width."""
    rest_of_the_line = Column(ratio=1, no_wrap=True, overflow="ellipsis")
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(_BAR_WIDTH),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False, table_column=rest_of_the_line),
        console=console,
        expand=True,
    )


def make_console() -> Console:
    """The run's console; processes other than the first are silent."""
    quiet = jax.process_index() != 0
    return Console(quiet=quiet, markup=False, highlight=False, soft_wrap=True)


class NonFiniteLossError(FloatingPointError):
    """A loss term became NaN or infinite."""


class RunLog:
    """Writes a run's numbers. Only the first process writes files."""

    def __init__(self, workdir: Path, console: Console, first_step: int, last_step: int):
        """Continue the files of `workdir` at `first_step`: later lines are of a lost stretch."""
        self._console = console
        self._first_step, self._last_step = first_step, last_step
        self._said = time.monotonic()
        self._paced_from = None  # when and at which step the first piece was done
        self._losses = None  # the first and the last piece's
        self._alike_from = first_step  # since then positive and negative pairs are alike
        self._files = None  # metrics.jsonl and TensorBoard's
        if jax.process_index() == 0:
            path = workdir / "metrics.jsonl"
            _cut_after(path, first_step, console)
            with needing_space(workdir / "tensorboard"):
                self._files = path.open("a"), _Board(workdir / "tensorboard", first_step)
        self._bar = _make_bar(console) if console.is_terminal else None

    def __enter__(self):
        if self._bar:
            self._bar.start()
            self._bar.add_task(
                "training", total=self._last_step, completed=self._first_step, note=""
            )
        return self

    def __exit__(self, *raised):
        if self._bar:
            self._bar.stop()
        if self._files is None:
            return
        lines, board = self._files
        # After an error what a full disk did not take is tried again, and would hide that error.
        with suppress(OSError) if any(raised) else needing_space(lines.name):
            lines.close()
            board.close()

    def record(self, pending: tuple[int, int, dict] | None) -> None:
        """Fetch the metrics of the steps after `begin`, of (begin, end, metrics), log their means.

        Raises NonFiniteLossError where one is not finite.
        """
        if pending is None:
            return
        begin, step, metrics = pending
        fetched = jax.device_get(metrics)
        metrics = {name: np.asarray(values)[: step - begin] for name, values in fetched.items()}
        finite = np.all([np.isfinite(values) for values in metrics.values()], axis=0)
        if not finite.all():
            at = int(np.argmin(finite))
            names = [name for name, values in metrics.items() if not np.isfinite(values[at])]
            raise NonFiniteLossError(
                f"step {begin + at + 1}: {', '.join(names)} is not finite. The last good "
                "checkpoint is kept. Look at the data with `vmr doctor`, or lower "
                "optimizer.learning_rate."
            )
        means = {name: float(values.mean()) for name, values in metrics.items()}
        self._losses = (self._losses or (means["loss"],))[0], means["loss"]
        apart = means.get("similarity_positive", np.inf) - means.get("similarity_negative", 0.0)
        if abs(apart) >= _ALIKE:
            self._alike_from = step
        self.write(step, {f"train/{name}": value for name, value in means.items()})
        alone = [n for n, value in means.items() if n != "loss" and value == means["loss"]]
        self.progress(step, {n: v for n, v in means.items() if n not in (*alone, "grad_norm")})

    def warn_of_divergence(self) -> None:
        """Say it where the loss has become far larger than it was at first."""
        first, last = self._losses or (0.0, 0.0)
        if last - first > _DIVERGED * max(abs(first), 1.0):
            self._console.print(
                f"warning: training diverged, the loss rose from {first:.4g} to {last:.4g}: its "
                "result means nothing. Lower optimizer.learning_rate, or set optimizer.grad_clip"
            )

    def warn_of_collapse(self, step: int, steps_per_epoch: int) -> None:
        """Say it once where for an epoch, and _PATIENCE steps, no pair was told from another.

        At the start of a healthy run they are alike for up to 300 steps (the embedded corpus).
        """
        if step - self._alike_from < max(steps_per_epoch, _PATIENCE):
            return
        self._alike_from = self._last_step
        self._console.print(
            "warning: for an epoch the similarities of true and of false pairs differ by less than "
            f"{_ALIKE}: the system has collapsed. Features of uneven scale do that: "
            "--config.target.normalize=sqrt_standardize; or a learning rate that is too high"
        )

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add one line to metrics.jsonl and the same scalars to TensorBoard.

        Raises FullDiskError.
        """
        if self._files is None:
            return
        lines, board = self._files
        with needing_space(lines.name):
            lines.write(json.dumps({"step": step, **metrics}) + "\n")
            lines.flush()
            board.write(step, metrics)

    def progress(self, step: int, losses: Mapping[str, float]) -> None:
        """Move the bar to `step`, or print a line every ten seconds where there is none.

        "loss" stands before the other names. The first piece, in which the step is compiled,
        counts in no rate.
        """
        now = time.monotonic()
        names = sorted(losses, key=lambda name: (name != "loss", name))
        note = "  ".join(f"{name} {losses[name]:.4g}" for name in names)
        left = ""
        if self._paced_from is None:
            self._paced_from = now, step
        else:
            rate = (step - self._paced_from[1]) / max(now - self._paced_from[0], 1e-9)
            note = f"{rate:.1f} steps/s  {note}"
            left = f"  {(self._last_step - step) / rate:.0f} s left"
        if self._bar:
            self._bar.update(self._bar.task_ids[0], completed=step, note=note)
        elif now - self._said > _PLAIN_EVERY_SECONDS or step == self._last_step:
            self._console.print(f"step {step}/{self._last_step}{left}  {note}")
            self._said = now


class _Board:
    """A file for TensorBoard, written at once.

    The thread by which tensorboardX's SummaryWriter writes ends on a full disk, and the run then
    waits for it for ever.
    """

    def __init__(self, folder: Path, first_step: int):
        """Begin a file; TensorBoard hides what others in the folder have after `first_step`."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2

        folder.mkdir(exist_ok=True)
        proto: Any = event_pb2  # protobuf makes the classes at run time
        self._event, self._flushed = proto.Event, time.monotonic()
        self._writer = EventsWriter(str(folder / "events"))
        start = proto.SessionLog(status=proto.SessionLog.START)
        self._add(first_step + 1, session_log=start)

    def write(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add the scalars of a step."""
        from tensorboardX.summary import scalar

        for name, value in metrics.items():
            self._add(step, summary=scalar(name, value))
        if time.monotonic() - self._flushed > _FLUSH_SECONDS:
            self._writer.flush()
            self._flushed = time.monotonic()

    def close(self) -> None:
        """End the file."""
        self._writer.close()

    def _add(self, step: int, **content) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))


def track(items: Sequence, description: str, console: Console) -> Iterable:
    """Iterate over `items` under a bar, or plain lines; silently where the console is quiet."""
    return items if console.quiet else shown(items, description, len(items))


def _cut_after(path: Path, step: int, console: Console) -> None:
    """Drop the lines of metrics.jsonl after `step`, and a half-written last one.

    Where another line is damaged the whole file is kept in damaged/, and that is said.
    """
    if not path.exists():
        return
    lines = require_file(path, "metrics").read_bytes().splitlines(keepends=True)
    steps = [_step_of(line) for line in lines]
    damaged = [n for n, at in enumerate(steps, 1) if at is None and lines[n - 1].endswith(b"\n")]
    if damaged:
        aside = path.parent / "damaged" / path.name
        aside.parent.mkdir(exist_ok=True)
        shutil.copy(path, aside)
        console.print(f"{path}:{damaged[0]} is damaged: left out; the file is kept as {aside}")
    kept = [n for n, at in enumerate(steps) if at is not None and at <= step]
    write_whole(path, "".join(lines[n].decode().rstrip("\n") + "\n" for n in kept))


def _step_of(line: bytes) -> int | None:
    """The step of a line of metrics.jsonl; None where it is damaged."""
    try:
        step = json.loads(line.decode())["step"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return step if type(step) is int else None
