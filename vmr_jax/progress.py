"""What a long command shows of its progress, and how Ctrl-C ends it."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Progress = Callable[[Iterable[Item], str, int], Iterable[Item]]  # (items, label, total) -> items

_SECONDS_A_LINE = 10.0
_WORTH_A_LINE = 1.0  # seconds: shorter passes leave none


def quiet(items: Iterable[Item], label: str, total: int) -> Iterable[Item]:
    """Show nothing."""
    del label, total
    return items


def shown(items: Iterable[Item], label: str, total: int) -> Iterator[Item]:
    """Yield the items and show on stderr how many of `total` are done and how long is left.

    A terminal's bar goes when all are done. Elsewhere a line stays of what took a second or more.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, markup=False)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
        )
        columns += (TimeRemainingColumn(),)
        with Progress(*columns, console=console, transient=True) as bar:
            yield from bar.track(items, total=total, description=label)
        return
    started = last = time.monotonic()
    count = 0
    for count, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - last >= _SECONDS_A_LINE:
            last = now
            left = (now - started) / count * (total - count)
            print(f"{label}: {count} of {total}, about {left:.0f} s left", file=sys.stderr)
    seconds = time.monotonic() - started
    if seconds >= _WORTH_A_LINE:
        print(f"{label}: {count} in {seconds:.1f} s", file=sys.stderr)


@contextmanager
def share_shown(label: str) -> Iterator[Callable[[float, str], None]]:
    """Yield say(share, note), which shows on stderr how far a long work is, from 0 to 1.

    `note` stands beside it, and the time that is left. A terminal's bar goes at the end; elsewhere
    a line is printed every ten seconds.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True, markup=False)
    if console.is_terminal:
        text = TextColumn("{task.description}", markup=False)
        columns = (text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(label, total=1.0)
            yield lambda share, note: bar.update(
                task, completed=share, description=f"{label}: {note}"
            )
        return
    started = last = time.monotonic()

    def say(share: float, note: str) -> None:
        nonlocal last
        now = time.monotonic()
        if share > 0 and now - last >= _SECONDS_A_LINE:
            last = now
            left = (now - started) * (1 - share) / share
            print(f"{label}: {share:.0%}, {note}, about {left:.0f} s left", file=sys.stderr)

    yield say


@contextmanager
def ended_by_interrupts() -> Iterator[None]:
    """Ctrl-C ends the process at once: an exception gets lost in compiled code, or crashes it.

    An index stays whole: what its manifest names is complete, and the same command continues it.
    """

    def end(*_) -> None:
        cursor = b"\x1b[?25h" if os.isatty(2) else b""  # a progress bar hides it
        os.write(2, cursor + b"vmr: interrupted\n")
        os._exit(130)

    before = signal.signal(signal.SIGINT, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
