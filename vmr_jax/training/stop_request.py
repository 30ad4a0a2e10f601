"""A signal to stop, as a question that all processes answer alike."""

import signal
import threading

import jax
from jax.experimental import multihost_utils


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
