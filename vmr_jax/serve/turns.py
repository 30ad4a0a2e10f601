"""A bounded number of works at once, and a bounded number that wait for their turn."""

from collections.abc import Callable
from typing import TypeVar

from anyio import CapacityLimiter, to_thread

Result = TypeVar("Result")


class BusyError(Exception):
    """So many wait already that one more is sent away."""


class Turns:
    """Runs works in threads, some at once."""

    def __init__(self, at_once: int, waiting: int):
        self._limiter, self._waiting = CapacityLimiter(at_once), waiting

    async def run(self, work: Callable[[], Result]) -> Result:
        """Run a work when its turn comes. Raises BusyError, at once, and what the work raises."""
        now = self._limiter.statistics()
        if now.borrowed_tokens >= now.total_tokens and now.tasks_waiting >= self._waiting:
            raise BusyError
        return await to_thread.run_sync(work, limiter=self._limiter)
