"""Works that come while one runs are done together, as the next one."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from anyio import to_thread

from vmr_jax.serve.turns import BusyError

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")
_TOGETHER = 32


class Batches(Generic[Asked, Answer]):
    """Runs a work of many in a thread, one at a time, of up to 32 that wait."""

    def __init__(self, work: Callable[[Sequence[Asked]], list[Answer | Exception]], waiting: int):
        """`work` gives an answer, or an error that is raised, for each; so many wait at most."""
        self._work, self._most = work, waiting
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._running: asyncio.Task | None = None

    async def run(self, asked: Asked) -> Answer:
        """The answer to one. Raises BusyError, at once, its error, or what the work raises."""
        if self._running and len(self._waiting) >= self._most:
            raise BusyError
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if not self._running:
            self._running = asyncio.create_task(self._run())
        return await answer

    async def _run(self) -> None:
        while self._waiting:
            part, self._waiting = self._waiting[:_TOGETHER], self._waiting[_TOGETHER:]
            try:
                found = await to_thread.run_sync(self._work, [asked for asked, _ in part])
            except Exception as error:
                found = [error] * len(part)
            for (_, answer), one in zip(part, found, strict=True):
                if answer.done():  # who asked has gone
                    continue
                if isinstance(one, Exception):
                    answer.set_exception(one)
                else:
                    answer.set_result(one)
        self._running = None
